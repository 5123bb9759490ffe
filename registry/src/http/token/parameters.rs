//! Parameters of a query or a form.

use super::error::Refusal;

/// A request has this many at most.
const MOST: usize = 300;

/// Names with values, in order.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=b&c=d`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let pairs: Vec<_> = url::form_urlencoded::parse(bytes).into_owned().take(MOST + 1).collect();
        if pairs.len() > MOST {
            return Err(Refusal::Request(format!("a request has {MOST} parameters at most")));
        }
        Ok(Self(pairs))
    }

    /// Every value of a parameter that may come again.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of one that may not (RFC 6749, 3.2).
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(Refusal::Request(format!("{name} is given more than once")));
        }
        Ok(value)
    }

    /// The value of one that has to be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        let value = self.one(name)?.filter(|value| !value.is_empty());
        value.ok_or_else(|| Refusal::Request(format!("{name} is missing")))
    }
}
