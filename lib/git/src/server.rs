//! What to ask a server, and what it answers: version 2 of git's protocol (gitprotocol-v2, gitprotocol-http).

use std::io::{self, BufRead, Read};

use gix_hash::ObjectId;
use gix_packetline::{
    PacketLineRef,
    blocking_io::{StreamingPeekableIter, encode},
};

use crate::Error;

/// The header that every request has.
pub const PROTOCOL: (&str, &str) = ("git-protocol", "version=2");

const AGENT: &str = concat!("agent=flint/", env!("CARGO_PKG_VERSION"));
/// Digits of a whole commit.
const DIGITS: usize = 40;
/// What a server says of itself has a dozen lines, and a server that says more for ever is none.
const MOST_CAPABILITIES: usize = 256;

/// What a server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// It can send a commit without those before it.
    shallow: bool,
    /// It can leave files out.
    filter: bool,
    /// It names its hash, and wants to hear it.
    names_hash: bool,
}

/// Which commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Where the repository's own default branch is.
    Default,
    /// This one.
    Commit(ObjectId),
    /// Where a branch or a tag of that name is.
    Name(String),
}

type Lines<R> = StreamingPeekableIter<R>;

// === impl Revision ===

impl Revision {
    /// A revision as people write it: nothing, a commit's 40 digits, or a name.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        match text {
            None | Some("HEAD") => Self::Default,
            Some(text) => match ObjectId::from_hex(text.as_bytes()) {
                Ok(commit) if text.len() == DIGITS => Self::Commit(commit),
                _ => Self::Name(text.to_owned()),
            },
        }
    }

    /// The names that are meant, the best first: as `git clone --branch` looks for them.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Default => vec!["HEAD".to_owned()],
            Self::Commit(_) => Vec::new(),
            Self::Name(name) if name.starts_with("refs/") => vec![name.clone()],
            Self::Name(name) => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
        }
    }
}

// === impl Server ===

impl Server {
    /// Reads what a server says of itself.
    ///
    /// # Errors
    /// When it is no git server, or one of another time.
    pub fn read(answer: impl Read) -> Result<Self, Error> {
        let stranger = |error: io::Error| Error::NoRepository(error.to_string());
        let mut lines = lines(answer);
        let mut first = next(&mut lines).map_err(stranger)?;
        // Servers may say once more which service it is.
        if first.as_deref().is_some_and(|line| line.starts_with(b"# service=")) {
            next(&mut lines).map_err(stranger)?;
            first = next(&mut lines).map_err(stranger)?;
        }
        match first.as_deref() {
            Some(b"version 2") => {}
            Some(_) => return Err(Error::Version),
            None => return Err(Error::NoRepository("its answer is empty".to_owned())),
        }
        let mut server = Self { shallow: false, filter: false, names_hash: false };
        for _ in 0..MOST_CAPABILITIES {
            let Some(line) = next(&mut lines).map_err(stranger)? else { return Ok(server) };
            let line = String::from_utf8_lossy(&line);
            match line.split_once('=').unwrap_or((&line, "")) {
                ("fetch", features) => {
                    let mut features = features.split(' ');
                    server.shallow = features.clone().any(|feature| feature == "shallow");
                    server.filter = features.any(|feature| feature == "filter");
                }
                ("object-format", "sha1") => server.names_hash = true,
                ("object-format", other) => return Err(Error::Hash(other.to_owned())),
                _ => {}
            }
        }
        Err(Error::NoRepository("it says too much".to_owned()))
    }

    /// Whether the server can leave files out: then [`Server::ask_files`] is of use.
    #[must_use]
    pub fn can_leave_out(&self) -> bool {
        self.filter
    }

    /// Asks where a revision is; none where it says so itself.
    #[must_use]
    pub fn ask_refs(&self, revision: &Revision) -> Option<Vec<u8>> {
        let names = revision.names();
        if names.is_empty() {
            return None;
        }
        let mut lines = vec!["peel".to_owned()];
        lines.extend(names.into_iter().map(|name| format!("ref-prefix {name}")));
        Some(self.request("ls-refs", &lines))
    }

    /// Which commit a revision is at, by the answer to [`Server::ask_refs`].
    ///
    /// # Errors
    /// When it is not there.
    pub fn resolve(&self, answer: impl Read, revision: &Revision) -> Result<ObjectId, Error> {
        let names = revision.names();
        let mut found: Vec<Option<ObjectId>> = vec![None; names.len()];
        let mut lines = lines(answer);
        while let Some(line) = next(&mut lines).map_err(refused)? {
            let line = String::from_utf8_lossy(&line);
            let mut parts = line.split(' ');
            let (Some(id), Some(name)) = (parts.next(), parts.next()) else { continue };
            let Some(place) = names.iter().position(|wanted| wanted == name) else { continue };
            // A tag with a message is an object of its own: the commit behind it is told, too.
            let id = parts.find_map(|part| part.strip_prefix("peeled:")).unwrap_or(id);
            found[place] = Some(ObjectId::from_hex(id.as_bytes()).map_err(Error::damaged)?);
        }
        found.into_iter().flatten().next().ok_or_else(|| match revision {
            Revision::Name(name) => Error::NoRevision(name.clone()),
            _ => Error::NothingThere,
        })
    }

    /// Asks for a commit, without those before it, and without files where `names_only`.
    #[must_use]
    pub fn ask_commit(&self, commit: ObjectId, names_only: bool) -> Vec<u8> {
        let mut lines = self.fetch();
        if self.shallow {
            lines.push("deepen 1".to_owned());
        }
        if names_only {
            lines.push("filter blob:none".to_owned());
        }
        lines.push(format!("want {commit}"));
        lines.push("done".to_owned());
        self.request("fetch", &lines)
    }

    /// Asks for files that were left out.
    #[must_use]
    pub fn ask_files(&self, files: impl IntoIterator<Item = ObjectId>) -> Vec<u8> {
        let mut lines = self.fetch();
        lines.extend(files.into_iter().map(|file| format!("want {file}")));
        lines.push("done".to_owned());
        self.request("fetch", &lines)
    }

    fn fetch(&self) -> Vec<String> {
        vec!["no-progress".to_owned(), "ofs-delta".to_owned()]
    }

    fn request(&self, command: &str, arguments: &[String]) -> Vec<u8> {
        let hash = self.names_hash.then_some("object-format=sha1");
        let mut request = Vec::new();
        let mut text = |line: &str| {
            // Lines have a few dozen bytes, and memory takes what is written: neither can fail.
            let _ = encode::text_to_write(line.as_bytes(), &mut request);
        };
        text(&format!("command={command}"));
        text(AGENT);
        hash.into_iter().for_each(&mut text);
        let _ = encode::delim_to_write(&mut request);
        for argument in arguments {
            let _ = encode::text_to_write(argument.as_bytes(), &mut request);
        }
        let _ = encode::flush_to_write(&mut request);
        request
    }
}

/// Passes the pack in an answer to `read`.
pub(crate) fn pack<R: Read, T>(
    answer: R,
    wanted: ObjectId,
    read: impl FnOnce(&mut dyn BufRead) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut lines = lines(answer);
    loop {
        match next_or_mark(&mut lines) {
            // Of other sections nothing is needed.
            Ok(Line::Text(text)) if text == b"packfile" => break,
            Ok(Line::Text(_) | Line::Mark) => {}
            Ok(Line::End) => return Err(Error::Damaged("there is no pack in it".to_owned())),
            Err(error) => {
                let error = refused(error);
                let missing = matches!(&error, Error::Refused(text) if text.contains("not our ref"));
                return Err(if missing { Error::NoCommit(wanted) } else { error });
            }
        }
    }
    lines.reset_with(&[PacketLineRef::Flush]);
    let mut said = None;
    let result = {
        let mut bands = lines.as_read_with_sidebands(|is_error, text| {
            if is_error {
                said = Some(String::from_utf8_lossy(text).trim_end().to_owned());
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        });
        read(&mut bands)
    };
    match said {
        Some(said) => Err(Error::Refused(said)),
        None => result,
    }
}

enum Line {
    Text(Vec<u8>),
    /// The end of a section.
    Mark,
    End,
}

fn lines<R: Read>(answer: R) -> Lines<R> {
    let mut lines = StreamingPeekableIter::new(answer, &[], false);
    lines.fail_on_err_lines(true);
    lines
}

/// The next line without its end; none at the end of a section.
fn next<R: Read>(lines: &mut Lines<R>) -> io::Result<Option<Vec<u8>>> {
    Ok(match next_or_mark(lines)? {
        Line::Text(text) => Some(text),
        Line::Mark | Line::End => None,
    })
}

fn next_or_mark<R: Read>(lines: &mut Lines<R>) -> io::Result<Line> {
    match lines.read_line() {
        None => Ok(Line::End),
        Some(line) => Ok(match line?.map_err(io::Error::other)? {
            PacketLineRef::Data(text) => Line::Text(text.strip_suffix(b"\n").unwrap_or(text).to_vec()),
            _ => Line::Mark,
        }),
    }
}

/// What a server says instead of an answer.
fn refused(error: io::Error) -> Error {
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<gix_packetline::read::Error>());
    match said {
        Some(said) => Error::Refused(said.message.to_string().trim_end().to_owned()),
        None => Error::damaged(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            match *line {
                "0000" => encode::flush_to_write(&mut bytes).unwrap(),
                line => encode::text_to_write(line.as_bytes(), &mut bytes).unwrap(),
            };
        }
        bytes
    }

    const CAN: &[&str] =
        &["version 2", "ls-refs=unborn", "fetch=shallow filter", "object-format=sha1", "0000"];

    #[test]
    fn a_server_says_what_it_can_with_and_without_its_name() {
        let server = Server::read(answer(CAN).as_slice()).unwrap();
        assert_eq!(server, Server { shallow: true, filter: true, names_hash: true });
        let named = [&["# service=git-upload-pack", "0000"], CAN].concat();
        assert_eq!(Server::read(answer(&named).as_slice()).unwrap(), server);
    }

    #[test]
    fn servers_of_another_kind_are_told_apart() {
        let read = |lines: &[&str]| Server::read(answer(lines).as_slice()).unwrap_err();
        assert!(matches!(read(&["# service=git-upload-pack", "0000", "1234 HEAD"]), Error::Version));
        assert!(matches!(read(&["version 2", "object-format=sha256", "0000"]), Error::Hash(_)));
        assert!(matches!(Server::read(&b"<html>"[..]), Err(Error::NoRepository(_))));
        assert!(matches!(Server::read(&b""[..]), Err(Error::NoRepository(_))));
        let endless = vec!["x"; 1000];
        assert!(matches!(read(&[&["version 2"], endless.as_slice()].concat()), Error::NoRepository(_)));
    }

    #[test]
    fn a_branch_goes_before_a_tag_and_a_tag_is_the_commit_behind_it() {
        let server = Server::read(answer(CAN).as_slice()).unwrap();
        let (one, two, three) = ("1".repeat(40), "2".repeat(40), "3".repeat(40));
        let refs = |names: [&str; 2]| {
            let lines = [format!("{one} refs/tags/{}", names[0]), format!("{two} refs/heads/{}", names[1])];
            answer(&[&lines[0], &lines[1], "0000"])
        };
        let name = Revision::of(Some("v1"));
        let resolve = |bytes: Vec<u8>| server.resolve(bytes.as_slice(), &name);
        assert_eq!(resolve(refs(["v1", "v1"])).unwrap().to_string(), two);
        assert_eq!(resolve(refs(["v1", "v10"])).unwrap().to_string(), one, "v10 is another branch");
        let tag = answer(&[&format!("{one} refs/tags/v1 peeled:{three}"), "0000"]);
        assert_eq!(resolve(tag).unwrap().to_string(), three);
        assert!(matches!(resolve(refs(["v2", "v10"])), Err(Error::NoRevision(name)) if name == "v1"));
        let empty = server.resolve(answer(&["0000"]).as_slice(), &Revision::Default);
        assert!(matches!(empty, Err(Error::NothingThere)));
    }

    #[test]
    fn what_a_server_says_instead_is_passed_on() {
        let server = Server::read(answer(CAN).as_slice()).unwrap();
        let said = server.resolve(answer(&["ERR access denied"]).as_slice(), &Revision::Default);
        assert!(matches!(said, Err(Error::Refused(text)) if text == "access denied"));
        let cut = server.resolve(&b"0040abc"[..], &Revision::Default).unwrap_err();
        assert!(!cut.is_refusal(), "{cut}");
    }

    #[test]
    fn only_a_whole_commit_is_one() {
        let digits = "a".repeat(40);
        assert!(matches!(Revision::of(Some(&digits)), Revision::Commit(_)));
        assert_eq!(Revision::of(Some("abc1234")), Revision::Name("abc1234".into()));
        assert_eq!(Revision::of(Some("HEAD")), Revision::Default);
        assert_eq!(Revision::of(None), Revision::Default);
        assert!(
            Server::read(answer(CAN).as_slice()).unwrap().ask_refs(&Revision::of(Some(&digits))).is_none()
        );
    }
}
