//! Templates of new functions: a language and what calls it, five files at most, with a test that runs.

/// A template.
#[derive(Debug)]
pub struct Template {
    /// The language, and behind a dash what calls the function, where that is not requests.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The command that runs its test.
    pub test: &'static str,
    /// The `flint.yaml` without the name.
    settings: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
}

const HTTP: &str = "routes: GET /hello\n";
const SCHEDULE: &str = "schedules:\n  nightly: 0 2 * * *\n";
const PYTHON: &str = "runtime: python3.11\nhandler: app.handler\n";
const NODE: &str = "runtime: nodejs\nhandler: app.handler\n";
const TYPESCRIPT: &str = "# What `npm test` and `npm run build` compile goes to dist.\nruntime: nodejs\nhandler: dist/app.handler\nfiles: [\"!**\", \"dist/*.js\", \"package.json\"]\n";
const GO: &str = "runtime: provided\n";
const RUST: &str = "runtime: provided\n";
const RUBY: &str = "runtime: ruby\nhandler: app.handler\n";
const PHP: &str = "runtime: php\nhandler: app.handler\n";
const JAVA: &str = "runtime: java17\nhandler: com.example.Handler::handleRequest\nfiles: [\"!target/**\"]\n";
const SHELL: &str = "runtime: process\nhandler: ./handler.sh\n";
const CONTAINER: &str = "# The image that the cluster pulls; build it from the Dockerfile, and push it.\n\
image: registry.example.com/{{name}}:1\nport: 8080\n# What `flint dev` starts in its place.\nrun: python3 server.py\n";

/// All templates, the first is the one without a name.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "python",
        about: "Python: answers requests",
        test: "python3 -m unittest",
        settings: &[PYTHON, HTTP],
        files: &[
            ("app.py", include_str!("templates/python/http/app.py")),
            ("test_app.py", include_str!("templates/python/http/test_app.py")),
        ],
    },
    Template {
        name: "python-schedule",
        about: "Python: runs at times",
        test: "python3 -m unittest",
        settings: &[PYTHON, SCHEDULE],
        files: &[
            ("app.py", include_str!("templates/python/schedule/app.py")),
            ("test_app.py", include_str!("templates/python/schedule/test_app.py")),
        ],
    },
    Template {
        name: "python-event",
        about: "Python: takes events, here of objects in a bucket",
        test: "python3 -m unittest",
        settings: &[PYTHON],
        files: &[
            ("app.py", include_str!("templates/python/event/app.py")),
            ("test_app.py", include_str!("templates/python/event/test_app.py")),
        ],
    },
    Template {
        name: "node",
        about: "Node.js: answers requests",
        test: "node --test",
        settings: &[NODE, HTTP],
        files: &[
            ("app.mjs", include_str!("templates/node/http/app.mjs")),
            ("app.test.mjs", include_str!("templates/node/http/app.test.mjs")),
        ],
    },
    Template {
        name: "node-schedule",
        about: "Node.js: runs at times",
        test: "node --test",
        settings: &[NODE, SCHEDULE],
        files: &[
            ("app.mjs", include_str!("templates/node/schedule/app.mjs")),
            ("app.test.mjs", include_str!("templates/node/schedule/app.test.mjs")),
        ],
    },
    Template {
        name: "node-event",
        about: "Node.js: takes events, here of objects in a bucket",
        test: "node --test",
        settings: &[NODE],
        files: &[
            ("app.mjs", include_str!("templates/node/event/app.mjs")),
            ("app.test.mjs", include_str!("templates/node/event/app.test.mjs")),
        ],
    },
    Template {
        name: "typescript",
        about: "TypeScript: answers requests",
        test: "npm install && npm test",
        settings: &[TYPESCRIPT, HTTP],
        files: &[
            ("app.ts", include_str!("templates/typescript/http/app.ts")),
            ("app.test.ts", include_str!("templates/typescript/http/app.test.ts")),
            ("package.json", include_str!("templates/typescript/package.json")),
            ("tsconfig.json", include_str!("templates/typescript/tsconfig.json")),
        ],
    },
    Template {
        name: "typescript-schedule",
        about: "TypeScript: runs at times",
        test: "npm install && npm test",
        settings: &[TYPESCRIPT, SCHEDULE],
        files: &[
            ("app.ts", include_str!("templates/typescript/schedule/app.ts")),
            ("app.test.ts", include_str!("templates/typescript/schedule/app.test.ts")),
            ("package.json", include_str!("templates/typescript/package.json")),
            ("tsconfig.json", include_str!("templates/typescript/tsconfig.json")),
        ],
    },
    Template {
        name: "typescript-event",
        about: "TypeScript: takes events, here of objects in a bucket",
        test: "npm install && npm test",
        settings: &[TYPESCRIPT],
        files: &[
            ("app.ts", include_str!("templates/typescript/event/app.ts")),
            ("app.test.ts", include_str!("templates/typescript/event/app.test.ts")),
            ("package.json", include_str!("templates/typescript/package.json")),
            ("tsconfig.json", include_str!("templates/typescript/tsconfig.json")),
        ],
    },
    Template {
        name: "go",
        about: "Go: answers requests",
        test: "go test",
        settings: &[GO, HTTP],
        files: &[
            ("main.go", include_str!("templates/go/http/main.go")),
            ("main_test.go", include_str!("templates/go/http/main_test.go")),
            ("go.mod", include_str!("templates/go/go.mod")),
            ("go.sum", include_str!("templates/go/go.sum")),
        ],
    },
    Template {
        name: "go-schedule",
        about: "Go: runs at times",
        test: "go test",
        settings: &[GO, SCHEDULE],
        files: &[
            ("main.go", include_str!("templates/go/schedule/main.go")),
            ("main_test.go", include_str!("templates/go/schedule/main_test.go")),
            ("go.mod", include_str!("templates/go/go.mod")),
            ("go.sum", include_str!("templates/go/go.sum")),
        ],
    },
    Template {
        name: "go-event",
        about: "Go: takes events, here of objects in a bucket",
        test: "go test",
        settings: &[GO],
        files: &[
            ("main.go", include_str!("templates/go/event/main.go")),
            ("main_test.go", include_str!("templates/go/event/main_test.go")),
            ("go.mod", include_str!("templates/go/go.mod")),
            ("go.sum", include_str!("templates/go/go.sum")),
        ],
    },
    Template {
        name: "rust",
        about: "Rust: answers requests",
        test: "cargo test",
        settings: &[RUST, HTTP],
        files: &[
            ("src/main.rs", include_str!("templates/rust/http/main.rs")),
            ("Cargo.toml", include_str!("templates/rust/Cargo.toml")),
        ],
    },
    Template {
        name: "rust-schedule",
        about: "Rust: runs at times",
        test: "cargo test",
        settings: &[RUST, SCHEDULE],
        files: &[
            ("src/main.rs", include_str!("templates/rust/schedule/main.rs")),
            ("Cargo.toml", include_str!("templates/rust/Cargo.toml")),
        ],
    },
    Template {
        name: "rust-event",
        about: "Rust: takes events, here of objects in a bucket",
        test: "cargo test",
        settings: &[RUST],
        files: &[
            ("src/main.rs", include_str!("templates/rust/event/main.rs")),
            ("Cargo.toml", include_str!("templates/rust/Cargo.toml")),
        ],
    },
    Template {
        name: "java",
        about: "Java: answers requests",
        test: "mvn test",
        settings: &[JAVA, HTTP],
        files: &[
            ("src/main/java/com/example/Handler.java", include_str!("templates/java/http/Handler.java")),
            (
                "src/test/java/com/example/HandlerTest.java",
                include_str!("templates/java/http/HandlerTest.java"),
            ),
            ("pom.xml", include_str!("templates/java/pom.xml")),
        ],
    },
    Template {
        name: "ruby",
        about: "Ruby: answers requests",
        test: "ruby test_app.rb",
        settings: &[RUBY, HTTP],
        files: &[
            ("app.rb", include_str!("templates/ruby/http/app.rb")),
            ("test_app.rb", include_str!("templates/ruby/http/test_app.rb")),
        ],
    },
    Template {
        name: "php",
        about: "PHP: answers requests",
        test: "php test.php",
        settings: &[PHP, HTTP],
        files: &[
            ("app.php", include_str!("templates/php/http/app.php")),
            ("test.php", include_str!("templates/php/http/test.php")),
        ],
    },
    Template {
        name: "shell",
        about: "a shell script: a program for each request",
        test: "sh test.sh",
        settings: &[SHELL, HTTP],
        files: &[
            ("handler.sh", include_str!("templates/shell/http/handler.sh")),
            ("test.sh", include_str!("templates/shell/http/test.sh")),
        ],
    },
    Template {
        name: "container",
        about: "an image that serves HTTP, here in Python",
        test: "python3 -m unittest",
        settings: &[CONTAINER],
        files: &[
            ("server.py", include_str!("templates/container/http/server.py")),
            ("test_server.py", include_str!("templates/container/http/test_server.py")),
            ("Dockerfile", include_str!("templates/container/http/Dockerfile")),
        ],
    },
];

// === impl Template ===

impl Template {
    /// The files of a function of this name: their paths and texts.
    #[must_use]
    pub fn files(&self, name: &str) -> Vec<(String, String)> {
        let head =
            "# What the files do not tell by themselves; docs/project.md has all that can be written.\n";
        let settings = format!("{head}name: {{{{name}}}}\n{}", self.settings.concat());
        let files = self.files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        files
            .chain([("flint.yaml".to_owned(), settings)])
            .map(|(path, text)| (path, text.replace("{{name}}", name)))
            .collect()
    }

    /// The command that brings it to a cluster; none where an image has to be built and pushed first.
    #[must_use]
    pub fn deploy(&self) -> Option<&'static str> {
        let says = |text: &str| self.settings.iter().any(|settings| settings.contains(text));
        match () {
            () if says("image: ") => None,
            // A program is too large for a Function's own text.
            () if says("runtime: provided") => Some("flint deploy --registry HOST/PATH"),
            () => Some("flint deploy"),
        }
    }
}
