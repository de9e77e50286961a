//! `.env`: `NAME=VALUE`, a line each.

/// Reads the lines; those that are none are told by their number, from 1.
pub fn parse_env_file(text: &str) -> Result<Vec<(String, String)>, u32> {
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else { return Err(number) };
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(number);
        }
        variables.push((name.to_owned(), value_of(value.trim()).ok_or(number)?));
    }
    Ok(variables)
}

/// As it is in single quotes, with `\n`, `\t`, `\"`, `\\` and `\$` in double quotes, and up to ` #` without quotes.
fn value_of(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix('\'') {
        return rest.split_once('\'').map(|(value, _)| value.to_owned());
    }
    let Some(rest) = text.strip_prefix('"') else {
        let end = text.find(" #").unwrap_or(text.len());
        return Some(text[..end].trim_end().to_owned());
    };
    let mut value = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_variables() {
        let text = "# a comment\nA=1\nexport B = two words # not this\nC='as $it is'\nD=\"a\\nb \\\"c\\\"\"\n\nE=\nF=a#b\n";
        let pairs = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "as $it is"),
            ("D", "a\nb \"c\""),
            ("E", ""),
            ("F", "a#b"),
        ];
        assert_eq!(
            parse_env_file(text),
            Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
        );
    }

    #[test]
    fn what_is_no_line_is_told() {
        assert_eq!(parse_env_file("A=1\nnonsense\n"), Err(2));
        assert_eq!(parse_env_file("A='open\n"), Err(1));
        assert_eq!(parse_env_file("A B=1"), Err(1));
    }
}
