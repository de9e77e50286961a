//! Paths that lead to functions, as API Gateway has them: `/users/{id}`, `/files/{path+}`, `$default`.
//!
//! Segment by segment a literal is nearer than `{name}`, and that is nearer than `{name+}`, which takes all the rest; of
//! two with one pattern, the one that names the method is nearer. `$default` is the farthest. The path is compared as it came and, where
//! it has percent-encoding, decoded.

use std::{borrow::Cow, cmp::Ordering};

use http::Method;

use crate::route::decode;

/// The pattern that everything matches which nothing else does.
pub const DEFAULT: &str = "$default";

/// A pattern for paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// None for `$default`.
    segments: Option<Vec<Segment>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    One(String),
    Rest(String),
}

/// What is wrong with a pattern, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no path.
    #[error("a path begins with a slash: write /{0}")]
    NoSlash(String),
    /// A parameter in the middle takes all the rest.
    #[error("{{{0}+}} takes the rest of the path, so it must be the last segment")]
    RestInTheMiddle(String),
    /// A segment has braces that are not around all of it, or nothing between them.
    #[error("{0} is neither text nor a parameter: write {{name}} for one segment or {{name+}} for the rest")]
    Braces(String),
    /// Two parameters of one name.
    #[error("there are two parameters {0}: give each its own name")]
    Twice(String),
}

/// Patterns with methods, and what each leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths<T> {
    /// The nearest first.
    entries: Vec<(Option<Method>, Pattern, T)>,
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It cannot be matched as it is written.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == DEFAULT {
            return Ok(Self { text: text.to_owned(), segments: None });
        }
        let path = text.strip_prefix('/').ok_or_else(|| PatternError::NoSlash(text.to_owned()))?;
        let mut segments: Vec<Segment> = Vec::new();
        for part in path.split('/').filter(|_| !path.is_empty()) {
            if let Some(Segment::Rest(name)) = segments.last() {
                return Err(PatternError::RestInTheMiddle(name.clone()));
            }
            let segment = Segment::parse(part)?;
            if let Some(name) = segment.name()
                && segments.iter().any(|other| other.name() == Some(name))
            {
                return Err(PatternError::Twice(name.to_owned()));
            }
            segments.push(segment);
        }
        Ok(Self { text: text.to_owned(), segments: Some(segments) })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parameters of a path, decoded; none where the path does not match.
    #[must_use]
    pub fn parameters<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, Cow<'a, str>)>> {
        let mut parameters = Vec::new();
        let Some(segments) = &self.segments else { return Some(parameters) };
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        for segment in segments {
            // Every segment takes something.
            if rest.is_empty() {
                return None;
            }
            let (part, after) = rest.split_once('/').unwrap_or((rest, ""));
            match segment {
                Segment::Literal(literal) if part == literal || decode(part) == literal.as_str() => {}
                Segment::One(name) if !part.is_empty() => parameters.push((name.as_str(), decode(part))),
                Segment::Rest(name) => {
                    parameters.push((name.as_str(), decode(rest)));
                    return Some(parameters);
                }
                Segment::Literal(_) | Segment::One(_) => return None,
            }
            rest = after;
        }
        rest.is_empty().then_some(parameters)
    }

    /// Nearer patterns are less.
    fn compare(&self, other: &Self) -> Ordering {
        let kinds = |pattern: &Self| {
            // Before anything that takes the rest, and after anything that goes on.
            let end = 1;
            let kinds = pattern.segments.iter().flatten().map(Segment::distance);
            kinds.chain([end]).collect::<Vec<u8>>()
        };
        let is_default = |pattern: &Self| pattern.segments.is_none();
        is_default(self).cmp(&is_default(other)).then_with(|| kinds(self).cmp(&kinds(other)))
    }
}

// === impl Segment ===

impl Segment {
    fn parse(part: &str) -> Result<Self, PatternError> {
        let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let name = inner.map(|inner| inner.strip_suffix('+').unwrap_or(inner));
        match (inner, name) {
            (None, _) if !part.contains(['{', '}']) => Ok(Self::Literal(part.to_owned())),
            (Some(inner), Some(name)) if !name.is_empty() && !name.contains(['{', '}', '+']) => {
                let name = name.to_owned();
                Ok(if inner.ends_with('+') { Self::Rest(name) } else { Self::One(name) })
            }
            _ => Err(PatternError::Braces(part.to_owned())),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::One(name) | Self::Rest(name) => Some(name),
        }
    }

    const fn distance(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::One(_) => 1,
            Self::Rest(_) => 2,
        }
    }
}

// === impl Paths ===

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> Paths<T> {
    /// Patterns, each for a method or for any. Of two that are the same the first counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (Option<Method>, Pattern, T)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        // Stable, so that of two equals the first stays the first.
        entries.sort_by(|(method, pattern, _), (other_method, other, _)| {
            pattern.compare(other).then_with(|| method.is_none().cmp(&other_method.is_none()))
        });
        Self { entries }
    }

    /// The nearest pattern that matches, and what it leads to.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Option<(&Pattern, &T)> {
        let mut matching =
            self.entries.iter().filter(|(wanted, ..)| wanted.as_ref().is_none_or(|wanted| wanted == method));
        matching
            .find(|(_, pattern, _)| pattern.parameters(path).is_some())
            .map(|(_, pattern, to)| (pattern, to))
    }
}

/// A route's name, as events have it: `GET /users/{id}`, `ANY /users`, `$default`.
#[must_use]
pub fn route_key(method: Option<&Method>, pattern: &str) -> String {
    if pattern == DEFAULT {
        return DEFAULT.to_owned();
    }
    format!("{} {pattern}", method.map_or("ANY", Method::as_str))
}

/// Reads routes as text has them: `GET /users/{id}, POST /users`, each by its name. `ANY`, or no method, is every method.
///
/// # Errors
/// What is wrong with the first that cannot be read, and what to write instead.
pub fn routes(text: &str) -> Result<Paths<String>, String> {
    let mut entries = Vec::new();
    for route in text.split(',').map(str::trim).filter(|route| !route.is_empty()) {
        let (method, pattern) = route.split_once(' ').unwrap_or(("ANY", route));
        let method = match method {
            "ANY" => None,
            name => Some(
                known(name)
                    .ok_or_else(|| format!("{name} is no method: write GET, POST, … or ANY in {route:?}"))?,
            ),
        };
        let pattern = Pattern::parse(pattern.trim()).map_err(|error| error.to_string())?;
        let key = route_key(method.as_ref(), &pattern.text);
        entries.push((method, pattern, key));
    }
    if entries.is_empty() {
        return Err("there is no route in it: write METHOD /path, separated by commas".to_owned());
    }
    Ok(Paths::new(entries))
}

fn known(name: &str) -> Option<Method> {
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    methods.into_iter().find(|method| method == name)
}

/// The pattern in a route's name.
#[must_use]
pub fn pattern_of(route_key: &str) -> &str {
    route_key.split_once(' ').map_or(route_key, |(_, pattern)| pattern)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(routes: &[&'static str]) -> Paths<&'static str> {
        Paths::new(routes.iter().map(|route| {
            let (method, pattern) = route.split_once(' ').unwrap_or(("ANY", route));
            let method = (method != "ANY").then(|| method.parse().unwrap());
            (method, Pattern::parse(pattern).unwrap(), *route)
        }))
    }

    fn found(paths: &Paths<&'static str>, method: Method, path: &str) -> Option<&'static str> {
        paths.find(&method, path).map(|(_, to)| *to)
    }

    #[test]
    fn the_nearest_route_wins_in_whatever_order_they_are_written() {
        // The example of API Gateway's own guide, from the farthest to the nearest.
        let paths = paths(&[
            "$default",
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "GET /pets/dog/1",
        ]);
        for (method, path, expected) in [
            (Method::GET, "/pets/dog/1", "GET /pets/dog/1"),
            (Method::GET, "/pets/dog/2", "GET /pets/dog/{id}"),
            (Method::GET, "/pets/cat/1", "GET /pets/{proxy+}"),
            (Method::POST, "/test/5", "ANY /{proxy+}"),
            (Method::POST, "/pets/dog/1", "ANY /{proxy+}"),
            (Method::GET, "/", "$default"),
        ] {
            assert_eq!(found(&paths, method, path), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_route_for_the_method_is_nearer_than_one_for_any() {
        let paths = paths(&["ANY /users", "GET /users", "GET /users/{id}", "POST /users/{name}/posts"]);
        assert_eq!(found(&paths, Method::GET, "/users"), Some("GET /users"));
        assert_eq!(found(&paths, Method::PUT, "/users"), Some("ANY /users"));
        assert_eq!(found(&paths, Method::POST, "/users/7/posts"), Some("POST /users/{name}/posts"));
        assert_eq!(found(&paths, Method::PUT, "/users/7"), None);
    }

    #[test]
    fn an_end_is_nearer_than_the_rest_and_the_rest_is_never_nothing() {
        let paths = paths(&["GET /files/{path+}", "GET /files", "GET /"]);
        assert_eq!(found(&paths, Method::GET, "/files"), Some("GET /files"));
        assert_eq!(found(&paths, Method::GET, "/files/"), Some("GET /files"));
        assert_eq!(found(&paths, Method::GET, "/files/a/b"), Some("GET /files/{path+}"));
        assert_eq!(found(&paths, Method::GET, "/"), Some("GET /"));
        assert_eq!(found(&paths, Method::GET, "/other"), None);
        assert_eq!(found(&paths, Method::GET, "/filesystem"), None);
    }

    #[test]
    fn parameters_are_decoded() {
        let pattern = Pattern::parse("/users/{id}/{rest+}").unwrap();
        let parameters = pattern.parameters("/users/a%20b/c/d%2Fe").unwrap();
        assert_eq!(parameters, [("id", "a b".into()), ("rest", "c/d/e".into())]);
        assert_eq!(Pattern::parse("/caf\u{e9}").unwrap().parameters("/caf%C3%A9"), Some(Vec::new()));
        assert_eq!(pattern.parameters("/users//c"), None);
    }

    #[test]
    fn what_cannot_be_matched_is_refused_with_what_to_write() {
        for (text, message) in [
            ("users", "a path begins with a slash: write /users"),
            ("/{a+}/b", "{a+} takes the rest of the path, so it must be the last segment"),
            (
                "/x{id}",
                "x{id} is neither text nor a parameter: write {name} for one segment or {name+} for the rest",
            ),
            (
                "/{}",
                "{} is neither text nor a parameter: write {name} for one segment or {name+} for the rest",
            ),
            ("/{a}/{a}", "there are two parameters a: give each its own name"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_route_is_named_as_events_name_it() {
        assert_eq!(route_key(Some(&Method::GET), "/users/{id}"), "GET /users/{id}");
        assert_eq!(route_key(None, "/users"), "ANY /users");
        assert_eq!(route_key(None, DEFAULT), "$default");
        assert_eq!(pattern_of("GET /users/{id}"), "/users/{id}");
        assert_eq!(pattern_of(DEFAULT), DEFAULT);
    }

    #[test]
    fn routes_are_read_from_a_line_and_what_is_wrong_is_said() {
        let routes = routes("GET /{code}, POST /,/health").unwrap();
        let key = |method, path| routes.find(&method, path).map(|(_, key)| key.as_str());
        assert_eq!(key(Method::GET, "/abc"), Some("GET /{code}"));
        assert_eq!(key(Method::POST, "/"), Some("POST /"));
        assert_eq!(key(Method::PUT, "/health"), Some("ANY /health"));
        assert_eq!(key(Method::GET, "/a/b"), None);
        for (text, words) in
            [("", "no route"), ("get /a", "get is no method"), ("GET a", "begins with a slash")]
        {
            let error = super::routes(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_is_found_or_not_without_a_panic(pattern in "/[a-z{}+/]{0,20}", path in "[ -~é]{0,30}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.parameters(&path);
                let paths = Paths::new([(None, pattern, ())]);
                let _ = paths.find(&Method::GET, &path);
            }
        }
    }
}
