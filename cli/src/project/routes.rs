//! Routes as people write them: `GET /users/{id}`, `/files/{proxy+}`, `*`.

use super::{EventFormat, Note, Route, tree::Spot};

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY"];

/// `METHOD /path`, `/path` for every method, or `*` and `$default` for what no other route takes.
pub(crate) fn split(text: &str) -> (&str, &str) {
    match text.trim().split_once(char::is_whitespace) {
        Some((method, path)) => (method, path.trim()),
        None => ("ANY", text.trim()),
    }
}

/// A route, or what is wrong with it.
pub(crate) fn route(
    spot: &Spot,
    method: &str,
    path: &str,
    function: &str,
    event: EventFormat,
) -> Result<Route, Note> {
    let wrong = |message: String| Note::error(&spot.place(), message);
    let method = if method == "*" { "ANY".to_owned() } else { method.to_ascii_uppercase() };
    if !METHODS.contains(&method.as_str()) {
        return Err(wrong(format!("there is no method {method}: write one of {}", METHODS.join(", "))));
    }
    let path = match path {
        "*" | "$default" => "$default".to_owned(),
        _ if path.starts_with('/') => path.to_owned(),
        _ => format!("/{path}"),
    };
    if path != "$default" {
        is_path(&path).map_err(wrong)?;
    }
    Ok(Route { method, path, function: function.to_owned(), event, place: spot.place() })
}

/// The same method and path twice: nobody could say which function is meant.
pub(crate) fn twice(routes: &[Route]) -> impl Iterator<Item = Note> + '_ {
    routes.iter().enumerate().filter_map(|(index, route)| {
        let earlier = routes[..index]
            .iter()
            .find(|earlier| earlier.method == route.method && shape(&earlier.path) == shape(&route.path))?;
        let message = format!(
            "{} {} leads to {} already (line {}): give each function its own",
            route.method, route.path, earlier.function, earlier.place.line
        );
        Some(Note::error(&route.place, message))
    })
}

/// A path without the names of its parameters.
fn shape(path: &str) -> String {
    let part = |part: &str| match part {
        _ if part.starts_with('{') && part.ends_with("+}") => "{+}".to_owned(),
        _ if part.starts_with('{') => "{}".to_owned(),
        _ => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn is_path(path: &str) -> Result<(), String> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let mut names = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if part.contains(['{', '}', '?', '#', ' ']) {
                return Err(format!(
                    "{part} in the path {path}: a parameter is a whole part of it, such as /users/{{id}}"
                ));
            }
            continue;
        };
        let greedy = name.strip_suffix('+');
        let name = greedy.unwrap_or(name);
        let good = |any: char| any.is_ascii_alphanumeric() || "._-:$".contains(any);
        if name.is_empty() || !name.chars().all(good) {
            return Err(format!(
                "{{{name}}} in the path {path} needs a name of letters and digits, such as {{id}}"
            ));
        }
        if greedy.is_some() && index + 1 < parts.len() {
            return Err(format!(
                "{part} in the path {path} takes all that follows: it has to be the last part"
            ));
        }
        if names.contains(&name) {
            return Err(format!("{{{name}}} is twice in the path {path}"));
        }
        names.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let (method, path) = split(text);
        let spot = Spot::start_of(Path::new("f"));
        let route = route(&spot, method, path, "hello", EventFormat::V2).map_err(|note| note.message)?;
        Ok(format!("{} {}", route.method, route.path))
    }

    #[rstest]
    #[case("GET /users/{id}", "GET /users/{id}")]
    #[case("get   users", "GET /users")]
    #[case("/files/{proxy+}", "ANY /files/{proxy+}")]
    #[case("*", "ANY $default")]
    #[case("* /a", "ANY /a")]
    #[case("$default", "ANY $default")]
    fn routes_are_read(#[case] text: &str, #[case] route: &str) {
        assert_eq!(read(text), Ok(route.to_owned()));
    }

    #[rstest]
    #[case("FETCH /a", "there is no method FETCH")]
    #[case("GET /a{id}", "a{id} in the path")]
    #[case("GET /{}", "{} in the path /{} needs a name")]
    #[case("GET /{all+}/b", "{all+} in the path /{all+}/b takes all that follows")]
    #[case("GET /{a}/{a}", "{a} is twice")]
    fn what_is_no_route_says_why(#[case] text: &str, #[case] said: &str) {
        let message = read(text).unwrap_err();
        assert!(message.starts_with(said), "{message}");
    }

    #[test]
    fn one_path_leads_to_one_function() {
        let spot = Spot::start_of(Path::new("f"));
        let route = |text, function| {
            let (method, path) = split(text);
            route(&spot, method, path, function, EventFormat::V2).unwrap()
        };
        let routes = [route("GET /a/{x}", "one"), route("POST /a/{x}", "two"), route("GET /a/{y}", "three")];
        assert_eq!(twice(&routes).count(), 1);
    }
}
