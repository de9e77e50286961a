//! Where a secret's values come from: the command line, files, standard input.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// The values as the user gave them.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Given {
    /// A key and its value; KEY=- reads the value from standard input, without its last line break
    #[arg(value_name = "KEY=VALUE")]
    pairs: Vec<String>,
    /// A file as a value, under its name or the key before the `=`
    #[arg(long, value_name = "[KEY=]FILE")]
    from_file: Vec<String>,
    /// A file of KEY=VALUE lines; - is standard input
    #[arg(long, value_name = "FILE")]
    from_env_file: Vec<PathBuf>,
}

/// What Kubernetes takes in one Secret.
const LIMIT: usize = 1024 * 1024;

// === impl Given ===

impl Given {
    /// Reads them all.
    pub(super) fn read(&self, mut stdin: impl Read) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut data = BTreeMap::new();
        let mut add = |key: &str, value: Vec<u8>| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if key.is_empty() || !key.bytes().all(good) {
                return Err(Error::usage(format!("{key:?} cannot be a key"))
                    .try_this("use letters, digits, '-', '_' and '.'"));
            }
            if data.insert(key.to_owned(), value).is_some() {
                return Err(Error::usage(format!("{key} is given twice")));
            }
            Ok(())
        };
        let readers = self.pairs.iter().filter(|pair| pair.ends_with("=-")).count()
            + self.from_env_file.iter().filter(|path| is_stdin(path)).count();
        if readers > 1 {
            return Err(Error::usage("standard input can be read once only"));
        }
        for pair in &self.pairs {
            // The value is not repeated: it may be secret although it was typed wrong.
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Error::usage("a value has no key")
                    .try_this("write KEY=VALUE, or KEY=- to read the value from standard input")
            })?;
            let value =
                if value == "-" { without_last_break(all(&mut stdin)?) } else { value.as_bytes().to_vec() };
            add(key, value)?;
        }
        for file in &self.from_file {
            let (key, path) = match file.split_once('=') {
                Some((key, path)) => (key.to_owned(), Path::new(path)),
                None => {
                    let path = Path::new(file);
                    (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path)
                }
            };
            add(&key, fs::read(path).map_err(|error| unreadable(path, error))?)?;
        }
        for path in &self.from_env_file {
            let text = if is_stdin(path) {
                all(&mut stdin)?
            } else {
                fs::read(path).map_err(|error| unreadable(path, error))?
            };
            let text = String::from_utf8(text)
                .map_err(|_| Error::usage(format!("{} is no text", path.display())))?;
            for (number, line) in text.lines().enumerate() {
                if let Some((key, value)) = env_line(line, path, number + 1)? {
                    add(key, value.as_bytes().to_vec())?;
                }
            }
        }
        let size: usize = data.iter().map(|(key, value)| key.len() + value.len()).sum();
        match (data.is_empty(), size > LIMIT) {
            (true, _) => Err(Error::usage("there is nothing to set")
                .try_this("give KEY=VALUE, --from-file or --from-env-file")),
            (_, true) => Err(Error::usage("a secret may have 1 MiB together")
                .try_this("put large files into an image or a volume")),
            _ => Ok(data),
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn all(stdin: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = stdin.take(LIMIT as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::usage("standard input cannot be read").because(error))?;
    Ok(bytes)
}

fn without_last_break(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::usage(format!("{} cannot be read", path.display())).because(error)
}

/// `KEY=VALUE`, `export KEY="VALUE"`; none for a comment or an empty line.
fn env_line<'a>(line: &'a str, path: &Path, number: usize) -> Result<Option<(&'a str, &'a str)>, Error> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (key, value) = line
        .split_once('=')
        .ok_or_else(|| Error::usage(format!("{}:{number}: there is no KEY=VALUE", path.display())))?;
    let value = value.trim();
    let unquoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    Ok(Some((key.trim(), unquoted)))
}
