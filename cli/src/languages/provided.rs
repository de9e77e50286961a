//! The runtime `provided`: an executable `bootstrap`, in any language.

use super::{Language, Launch, Missing, Wanted, machine::is_executable};

pub(super) fn plan(wanted: &Wanted<'_>) -> Result<Launch, Missing> {
    let path = wanted.folder.join("bootstrap");
    if is_executable(&path) {
        return Ok(Launch::of(Language::Bootstrap, ["./bootstrap"]));
    }
    if path.is_file() {
        return Err(Missing {
            what: format!("{}'s bootstrap is not executable", wanted.name),
            remedy: format!("chmod +x {}", path.display()),
        });
    }
    Err(Missing {
        what: format!(
            "{} runs on provided, and {} holds nothing to run",
            wanted.name,
            wanted.folder.display()
        ),
        remedy: "put an executable named bootstrap there, or a go.mod, or a Cargo.toml".to_owned(),
    })
}
