//! `WWW-Authenticate` (RFC 9110, section 11.6.1; RFC 6750, section 3; the token specification of
//! the distribution project).

#[cfg(test)]
mod tests;

use std::fmt;

use super::{ScopeError, Scopes};

/// One way in that a registry offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with each request (RFC 7617).
    Basic {
        /// What the credentials are for; empty where the registry did not say.
        realm: String,
    },
    /// A token from a token server.
    Bearer(Bearer),
    /// A scheme that Berth does not know, or a Bearer challenge without a realm, which names no
    /// token server. Only the scheme is kept.
    Other {
        /// The scheme's name.
        scheme: String,
    },
}

/// Where to get a token, and what for. Texts are as the registry sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bearer {
    /// URL of the token server. Whether to trust it with credentials is the client's decision.
    pub realm: String,
    /// The registry's name there.
    pub service: Option<String>,
    /// What the request would have needed, by [`Scopes`]'s grammar.
    pub scope: Option<String>,
    /// Why the token sent was not enough: `invalid_token`, `insufficient_scope`.
    pub error: Option<String>,
    /// The same for people.
    pub error_description: Option<String>,
}

impl Bearer {
    /// The scopes named by `scope`; none if it is absent.
    ///
    /// # Errors
    /// If the text breaks the grammar.
    pub fn scopes(&self) -> Result<Scopes, ScopeError> {
        self.scope.as_deref().unwrap_or_default().parse()
    }
}

/// Why a header's text is no list of challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Something else is expected.
    #[error("the WWW-Authenticate header has no {expected} at byte {at}")]
    Syntax {
        /// Offset in bytes.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A parameter stands twice in one challenge, where readers would disagree which one counts.
    #[error("the WWW-Authenticate header gives a parameter twice, up to byte {at}")]
    Twice {
        /// Offset in bytes of the second one's end.
        at: usize,
    },
}

impl Challenge {
    /// Reads one header's text, which may hold several challenges. Where a response has several
    /// headers, read each.
    ///
    /// # Errors
    /// If the text is no list of challenges. Unknown schemes and parameters are no errors.
    pub fn parse_all(header: &str) -> Result<Vec<Self>, ChallengeError> {
        let mut parser = Parser { text: header, at: 0 };
        let mut challenges = Vec::new();
        let mut open: Option<Raw<'_>> = None;
        while parser.skip_separators() {
            let word = parser.token()?;
            match (&mut open, parser.equals()) {
                (Some(raw), true) => parser.value(raw, word)?,
                (None, true) => return Err(parser.syntax("scheme before a parameter")),
                (_, false) => {
                    challenges.extend(open.take().map(Raw::into_challenge));
                    let mut raw = Raw { scheme: word, params: Vec::new() };
                    if !parser.token68() && !parser.at_separator() {
                        let name = parser.token()?;
                        if !parser.equals() {
                            return Err(parser.syntax("equals sign"));
                        }
                        parser.value(&mut raw, name)?;
                    }
                    open = Some(raw);
                }
            }
            if !parser.at_separator() {
                return Err(parser.syntax("comma"));
            }
        }
        challenges.extend(open.map(Raw::into_challenge));
        Ok(challenges)
    }
}

struct Raw<'a> {
    scheme: &'a str,
    params: Vec<(&'a str, String)>,
}

impl Raw<'_> {
    fn position(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|(param, _)| param.eq_ignore_ascii_case(name))
    }

    fn into_challenge(mut self) -> Challenge {
        let mut take = |name| self.position(name).map(|at| self.params.swap_remove(at).1);
        let realm = take("realm");
        if self.scheme.eq_ignore_ascii_case("basic") {
            return Challenge::Basic { realm: realm.unwrap_or_default() };
        }
        match realm {
            Some(realm) if self.scheme.eq_ignore_ascii_case("bearer") => {
                let mut take = |name| self.position(name).map(|at| self.params.swap_remove(at).1);
                Challenge::Bearer(Bearer {
                    realm,
                    service: take("service"),
                    scope: take("scope"),
                    error: take("error"),
                    error_description: take("error_description"),
                })
            }
            _ => Challenge::Other { scheme: self.scheme.to_owned() },
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl<'a> Parser<'a> {
    fn syntax(&self, expected: &'static str) -> ChallengeError {
        ChallengeError::Syntax { at: self.at, expected }
    }

    /// Takes bytes while they fit. Only ever called for ASCII, so that `at` stays on a character.
    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let len = rest.bytes().take_while(|&byte| byte.is_ascii() && fits(byte)).count();
        self.at += len;
        &rest[..len]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// Goes to the next element of the list; empty elements are allowed. False at the end.
    fn skip_separators(&mut self) -> bool {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b','));
        self.peek().is_some()
    }

    fn at_separator(&mut self) -> bool {
        self.blank();
        matches!(self.peek(), None | Some(b','))
    }

    fn token(&mut self) -> Result<&'a str, ChallengeError> {
        self.blank();
        let token = self.take_while(is_token);
        if token.is_empty() { Err(self.syntax("name")) } else { Ok(token) }
    }

    fn equals(&mut self) -> bool {
        self.blank();
        let there = self.peek() == Some(b'=');
        self.at += usize::from(there);
        there
    }

    /// Takes credentials in one word, as `Negotiate` has them, if that is what stands here.
    fn token68(&mut self) -> bool {
        let start = self.at;
        self.blank();
        let word = self.take_while(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b));
        self.take_while(|b| b == b'=');
        let there = !word.is_empty() && self.at_separator();
        if !there {
            self.at = start;
        }
        there
    }

    fn value(&mut self, raw: &mut Raw<'a>, name: &'a str) -> Result<(), ChallengeError> {
        self.blank();
        let value = if self.peek() == Some(b'"') {
            self.quoted()?
        } else {
            // Some send URLs without quotes: more than RFC 9110 allows, and clear all the same.
            self.take_while(|b| b.is_ascii_graphic() && b != b',' && b != b'"').to_owned()
        };
        if raw.position(name).is_some() {
            return Err(ChallengeError::Twice { at: self.at });
        }
        raw.params.push((name, value));
        Ok(())
    }

    fn quoted(&mut self) -> Result<String, ChallengeError> {
        let mut value = String::new();
        let mut escaped = false;
        let inside = self.at + 1;
        for (at, c) in self.text[inside..].char_indices() {
            if c.is_control() && c != '\t' {
                self.at = inside + at;
                return Err(self.syntax("printable character"));
            }
            match c {
                '"' if !escaped => {
                    self.at = inside + at + 1;
                    return Ok(value);
                }
                '\\' if !escaped => escaped = true,
                _ => {
                    escaped = false;
                    value.push(c);
                }
            }
        }
        self.at = self.text.len();
        Err(self.syntax("closing quote"))
    }
}

/// Writes `name="value"`. Control characters, which would end or forge a header, become spaces.
fn quote(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    let mut quoted = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() && c != '\t' => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    write!(f, "{name}=\"{quoted}\"")
}

impl fmt::Display for Challenge {
    /// The header's text for this one challenge.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { realm } => {
                f.write_str("Basic ")?;
                quote(f, "realm", realm)
            }
            Self::Other { scheme } => f.write_str(scheme),
            Self::Bearer(bearer) => {
                f.write_str("Bearer ")?;
                quote(f, "realm", &bearer.realm)?;
                for (name, value) in [
                    ("service", &bearer.service),
                    ("scope", &bearer.scope),
                    ("error", &bearer.error),
                    ("error_description", &bearer.error_description),
                ] {
                    if let Some(value) = value {
                        f.write_str(",")?;
                        quote(f, name, value)?;
                    }
                }
                Ok(())
            }
        }
    }
}
