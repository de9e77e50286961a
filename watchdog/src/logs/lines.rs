//! Lines out of a stream of bytes, of any length, in bounded memory.

/// A longer line is cut in pieces: container runtimes and log stores take lines of this size, and memory stays bounded.
const LONGEST: usize = 256 * 1024;

/// Which piece of a line that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// From 1.
    pub number: u32,
    /// Whether the line ends with it.
    pub last: bool,
}

/// Cuts bytes into lines. Every byte comes out again but for the line ends.
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    pieces: u32,
}

// === impl Splitter ===

impl Splitter {
    /// Takes bytes and gives each line that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8], Option<Piece>)) {
        while !bytes.is_empty() {
            let room = LONGEST - self.pending.len();
            let window = &bytes[..bytes.len().min(room)];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                self.pending.extend_from_slice(&window[..end]);
                bytes = &bytes[end + 1..];
                self.emit(true, &mut emit);
            } else {
                self.pending.extend_from_slice(window);
                bytes = &bytes[window.len()..];
                if self.pending.len() == LONGEST {
                    self.emit(false, &mut emit);
                }
            }
        }
    }

    /// Gives what is left at the end of the stream: a line without its end.
    pub fn finish(&mut self, mut emit: impl FnMut(&[u8], Option<Piece>)) {
        if !self.pending.is_empty() || self.pieces > 0 {
            self.emit(true, &mut emit);
        }
    }

    fn emit(&mut self, last: bool, emit: &mut impl FnMut(&[u8], Option<Piece>)) {
        // A piece never ends inside of a character: the rest of it opens the next one.
        let cut = if last { self.pending.len() } else { whole_characters(&self.pending) };
        let rest = self.pending.split_off(cut);
        let piece = (!last || self.pieces > 0).then(|| Piece { number: self.pieces + 1, last });
        emit(&self.pending, piece);
        self.pieces = if last { 0 } else { self.pieces + 1 };
        // A huge line must not leave a huge buffer behind.
        self.pending = rest;
    }
}

fn whole_characters(bytes: &[u8]) -> usize {
    let start = bytes.iter().rposition(|byte| byte & 0b1100_0000 != 0b1000_0000).unwrap_or(bytes.len());
    let broken = bytes.len() - start < 4 && std::str::from_utf8(&bytes[start..]).is_err();
    if broken { start } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(String, Option<Piece>)> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        let mut emit = |line: &[u8], piece| lines.push((String::from_utf8(line.to_vec()).unwrap(), piece));
        for chunk in chunks {
            splitter.feed(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        lines
    }

    #[test]
    fn lines_come_out_whole_however_the_bytes_came() {
        let lines = split(&[b"on", b"e\ntwo\n\nfo", b"ur"]);
        let text: Vec<_> = lines.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(text, ["one", "two", "", "four"]);
        assert!(lines.iter().all(|(_, piece)| piece.is_none()));
    }

    #[test]
    fn a_line_of_a_mebibyte_comes_in_pieces_with_every_byte() {
        let long = "x".repeat(1024 * 1024 + 5);
        let lines = split(&[long.as_bytes(), b"\nnext\n"]);
        let numbers: Vec<_> =
            lines.iter().filter_map(|(_, piece)| piece.map(|piece| (piece.number, piece.last))).collect();
        assert_eq!(numbers, [(1, false), (2, false), (3, false), (4, false), (5, true)]);
        assert_eq!(lines[..5].iter().map(|(line, _)| line.as_str()).collect::<String>(), long);
        assert_eq!(lines[5], ("next".to_owned(), None));
    }

    #[test]
    fn a_piece_never_ends_inside_of_a_character() {
        let long = "€".repeat(200 * 1024);
        let lines = split(&[long.as_bytes()]);
        assert!(lines.len() > 1);
        assert_eq!(lines.iter().map(|(line, _)| line.as_str()).collect::<String>(), long);
    }

    #[test]
    fn a_line_of_exactly_the_limit_ends_with_an_empty_last_piece() {
        let lines = split(&["y".repeat(LONGEST).as_bytes(), b"\n"]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], (String::new(), Some(Piece { number: 2, last: true })));
    }
}
