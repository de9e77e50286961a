//! Writes JSON whose shape is known, straight into its bytes: what is made for each request, where a serializer's look at every byte
//! would be the largest part of it.

/// An object that is being written. Its names are taken as they are.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

/// Appends a text in quotes.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    // Nearly all text is plain, and a look at all of it without a way out takes sixteen bytes at a time.
    if rest.iter().fold(false, |found, byte| found | is_special(*byte)) {
        while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
            let (plain, special) = rest.split_at(at);
            out.extend_from_slice(plain);
            escape(out, special[0]);
            rest = &special[1..];
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether JSON wants it escaped.
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digit = |digit: u8| b"0123456789abcdef"[usize::from(digit & 15)];
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

// === impl Object ===

impl<'a> Object<'a> {
    /// Writes an object.
    pub fn write(out: &'a mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        fill(&mut Object { out, first: true });
        out.push(b'}');
    }

    /// A text.
    pub fn text(&mut self, name: &str, value: &str) {
        push_text(self.name(name), value);
    }

    /// What is JSON already: a number, `true`.
    pub fn plain(&mut self, name: &str, value: &str) {
        self.name(name).extend_from_slice(value.as_bytes());
    }

    /// An object within.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.name(name), fill);
    }

    /// An object of texts, whose names may be anything.
    pub fn texts<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        name: &str,
        texts: impl IntoIterator<Item = (N, V)>,
    ) {
        let out = self.name(name);
        list(out, *b"{}", texts, |out, (name, value)| {
            push_text(out, name.as_ref());
            out.push(b':');
            push_text(out, value.as_ref());
        });
    }

    /// An array of texts.
    pub fn array<V: AsRef<str>>(&mut self, name: &str, texts: impl IntoIterator<Item = V>) {
        list(self.name(name), *b"[]", texts, |out, value| push_text(out, value.as_ref()));
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if std::mem::take(&mut self.first) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }
}

fn list<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = T>,
    push: impl Fn(&mut Vec<u8>, T),
) {
    out.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_read_as_what_it_was(text in any::<String>()) {
            let mut out = Vec::new();
            push_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), Value::from(text));
        }
    }

    #[test]
    fn every_character_that_json_wants_escaped_is() {
        let text: String = (0..=0x7f).map(char::from).collect();
        let mut out = Vec::new();
        push_text(&mut out, &text);
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), Value::from(text));
        assert!(out.iter().all(|byte| *byte >= 0x20));
    }

    #[test]
    fn an_object_is_what_was_put_into_it() {
        let mut out = Vec::new();
        Object::write(&mut out, |object| {
            object.text("a", "\n");
            object.plain("b", "7");
            object.object("c", |_| {});
            object.texts("d", [("x\"", "1"), ("y", "2")]);
            object.array("e", ["1", "2"]);
            object.array("f", [""; 0]);
        });
        let wanted =
            json!({"a": "\n", "b": 7, "c": {}, "d": {"x\"": "1", "y": "2"}, "e": ["1", "2"], "f": []});
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), wanted);
    }
}
