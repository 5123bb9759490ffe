//! Subjects as tokens name them.

use crate::auth::Subject;

/// Reads what `Subject`'s display writes; the empty text is nobody. Nobody is `local` by a token.
pub(super) fn parse(text: &str) -> Option<Subject> {
    if text.is_empty() {
        return Some(Subject::Anonymous);
    }
    let (kind, name) = text.split_once(':')?;
    if name.is_empty() {
        return None;
    }
    match kind {
        "user" => Some(Subject::User(name.to_owned())),
        "robot" => Some(Subject::Robot(name.to_owned())),
        "cert" => Some(Subject::Certificate(name.to_owned())),
        "ci" => {
            let (issuer, name) = name.split_once(':')?;
            Some(Subject::Federated { issuer: issuer.to_owned(), name: name.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_as_they_are_written() {
        let subjects = [
            Subject::User("alice".into()),
            Subject::Robot("team/ci".into()),
            Subject::Certificate("builder".into()),
            Subject::Federated { issuer: "github".into(), name: "octo/app:x".into() },
        ];
        for subject in subjects {
            assert_eq!(parse(&subject.to_string()), Some(subject));
        }
        assert_eq!(parse(""), Some(Subject::Anonymous));
        for text in ["local", "anonymous", "alice", "user:", "admin:alice", "ci:github"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
