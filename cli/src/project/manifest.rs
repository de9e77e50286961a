//! A project as the cluster takes it.

use flint_api::{Function, Source};

use super::{Code, Language, Note, Project, ProjectFunction, Route};

// === impl ProjectFunction ===

impl ProjectFunction {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.function.metadata.name.as_deref().unwrap_or_default()
    }

    /// The Function with its code in it, as `kubectl apply` takes it.
    ///
    /// # Errors
    /// When the code has to be built first, or is no text, or too large: says what to do.
    pub fn manifest(&self) -> Result<Function, Note> {
        let mut function = self.function.clone();
        if let Code::Folder(folder) = &self.code {
            self.is_built(folder)?;
            function.spec.source = Some(Source { inline: Some(folder.inline()?), ..Source::default() });
        }
        Ok(function)
    }

    /// Languages whose code is no program yet.
    fn is_built(&self, folder: &super::Folder) -> Result<(), Note> {
        let built = folder.root.join("bootstrap").is_file();
        let what = match self.language {
            Some(Language::Go | Language::Rust) if !built => {
                "is built into a program that is too large for a Function's own text: `flint deploy --registry HOST/PATH` builds \
                 it and brings it through a registry"
            }
            Some(Language::TypeScript) => {
                "is not what the runtime nodejs reads: `flint deploy` makes JavaScript of it with esbuild; or compile it, and name \
                 the result in handler"
            }
            _ => return Ok(()),
        };
        let language = self.language.map_or("", Language::name);
        Err(Note::error(&self.place, format!("{}: {language} {what}", self.name())))
    }
}

// === impl Project ===

impl Project {
    /// The function of this name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&ProjectFunction> {
        self.functions.iter().find(|function| function.name() == name)
    }

    /// The routes that lead to a function.
    pub fn routes_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Route> {
        self.routes.iter().filter(move |route| route.function == name)
    }

    /// The Functions with their code in them.
    ///
    /// # Errors
    /// Everything that cannot be put into a Function.
    pub fn manifests(&self) -> Result<Vec<Function>, Vec<Note>> {
        let mut functions = Vec::new();
        let mut notes = Vec::new();
        for function in &self.functions {
            match function.manifest() {
                Ok(function) => functions.push(function),
                Err(note) => notes.push(note),
            }
        }
        if notes.is_empty() { Ok(functions) } else { Err(notes) }
    }

    /// What a cluster does not have of this project, although `flint dev` does.
    #[must_use]
    pub fn cluster_notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some(route) = self.routes.first() {
            let message = "routes are for `flint dev`: on the cluster a function answers below /function/NAME, and at its own host";
            notes.push(Note::warning(&route.place, message));
        }
        for function in self.functions.iter().filter(|function| !function.env_files.is_empty()) {
            let message = format!(
                "{}: env files are for `flint dev`; for the cluster make a Secret of them \
                 (`flint secret set NAME --from-env-file FILE`) and name it in envFrom",
                function.name()
            );
            notes.push(Note::warning(&function.place, message));
        }
        notes
    }
}
