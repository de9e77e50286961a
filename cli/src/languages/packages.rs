//! How to get a program on this machine: by its package manager, or from where it is made.

use super::Machine;

/// Programs that a function may need.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program {
    Python,
    Node,
    Go,
    Cargo,
    Ruby,
    Php,
    Java,
    Maven,
}

/// What to type.
pub(super) fn how_to_get(program: Program, machine: &impl Machine) -> String {
    let (apt, dnf, brew, upstream) = match program {
        Program::Python => ("python3 python3-venv", "python3", "python", "https://www.python.org/downloads/"),
        Program::Node => ("nodejs npm", "nodejs", "node", "https://nodejs.org/en/download"),
        Program::Go => ("golang-go", "golang", "go", "https://go.dev/dl/"),
        Program::Cargo => ("cargo", "cargo", "rust", "https://rustup.rs"),
        Program::Ruby => ("ruby", "ruby", "ruby", "https://www.ruby-lang.org/en/downloads/"),
        Program::Php => {
            ("php-cli php-curl php-mbstring", "php-cli php-mbstring", "php", "https://www.php.net/downloads")
        }
        Program::Java => {
            ("openjdk-17-jdk-headless", "java-17-openjdk-devel", "openjdk@17", "https://adoptium.net")
        }
        Program::Maven => ("maven", "maven", "maven", "https://maven.apache.org/download.cgi"),
    };
    let by = |command: &str, package: &str| format!("{command} {package}, or see {upstream}");
    let installs = [
        ("brew", "brew install", brew),
        ("apt-get", "sudo apt-get install", apt),
        ("dnf", "sudo dnf install", dnf),
        ("pacman", "sudo pacman -S", dnf),
        ("apk", "sudo apk add", brew),
    ];
    installs
        .iter()
        .find(|(manager, ..)| machine.find(manager).is_some())
        .map_or_else(|| format!("see {upstream}"), |(_, command, package)| by(command, package))
}
