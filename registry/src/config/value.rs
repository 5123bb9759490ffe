//! What a key can hold: how it is read from TOML and from text, and how it is printed.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    cidr::Cidr,
    human::{Size, parse_time, show_time},
    secret::Secret,
};

/// A value as `config print` shows it.
pub(super) enum Shown {
    /// TOML.
    Set(String),
    /// Nothing is set.
    Unset,
    /// It must not be seen.
    Hidden,
}

/// The place of a value in the configuration.
pub(super) trait Value {
    /// Takes what a file says.
    fn set(&mut self, value: &toml::Value) -> Result<(), String>;
    /// Takes what an environment variable says.
    fn set_text(&mut self, text: &str) -> Result<(), String>;
    /// Gives TOML that `set` takes.
    fn show(&self) -> Shown;
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Values that are text in TOML.
trait Text: Sized {
    fn parse(text: &str) -> Result<Self, String>;
    fn text(&self) -> String;
}

macro_rules! text_values {
    ($($type:ty: $parse:expr, $show:expr;)*) => {$(
        impl Text for $type {
            fn parse(text: &str) -> Result<Self, String> { $parse(text) }
            fn text(&self) -> String { $show(self) }
        }
        impl Value for $type {
            fn set(&mut self, value: &toml::Value) -> Result<(), String> {
                let text = value.as_str().ok_or_else(|| format!("{value} is not a text in quotes"))?;
                self.set_text(text)
            }
            fn set_text(&mut self, text: &str) -> Result<(), String> {
                *self = Text::parse(text)?;
                Ok(())
            }
            fn show(&self) -> Shown { Shown::Set(quoted(&self.text())) }
        }
    )*};
}

text_values! {
    String: |text: &str| Ok(text.to_owned()), Self::clone;
    PathBuf: path, |path: &Self| path.to_string_lossy().into_owned();
    Duration: parse_time, |time: &Self| show_time(*time);
    Size: str::parse, Self::to_string;
    Cidr: str::parse, Self::to_string;
    SocketAddr: address, Self::to_string;
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("an empty path".to_owned()) } else { Ok(text.into()) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address and port like \"127.0.0.1:5000\""))
}

macro_rules! number_values {
    ($($type:ty)*) => {$(
        impl Value for $type {
            fn set(&mut self, value: &toml::Value) -> Result<(), String> {
                let number = value.as_integer().and_then(|number| Self::try_from(number).ok());
                *self = number.ok_or_else(|| format!("{value} is not a number from 0 to {}", Self::MAX))?;
                Ok(())
            }
            fn set_text(&mut self, text: &str) -> Result<(), String> {
                *self = text.parse().map_err(|_| format!("{text:?} is not a number from 0 to {}", Self::MAX))?;
                Ok(())
            }
            fn show(&self) -> Shown { Shown::Set(self.to_string()) }
        }
    )*};
}
number_values!(u32 usize);

impl Value for bool {
    fn set(&mut self, value: &toml::Value) -> Result<(), String> {
        *self = value.as_bool().ok_or_else(|| format!("{value} is neither true nor false"))?;
        Ok(())
    }

    fn set_text(&mut self, text: &str) -> Result<(), String> {
        *self = text.parse().map_err(|_| format!("{text:?} is neither true nor false"))?;
        Ok(())
    }

    fn show(&self) -> Shown {
        Shown::Set(self.to_string())
    }
}

impl<T: Text> Value for Vec<T> {
    fn set(&mut self, value: &toml::Value) -> Result<(), String> {
        let list = value.as_array().ok_or_else(|| format!("{value} is not a list in brackets"))?;
        let item = |item: &toml::Value| {
            T::parse(item.as_str().ok_or_else(|| format!("{item} is not a text in quotes"))?)
        };
        *self = list.iter().map(item).collect::<Result<_, String>>()?;
        Ok(())
    }

    /// Items are separated by commas.
    fn set_text(&mut self, text: &str) -> Result<(), String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        *self = items.map(T::parse).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn show(&self) -> Shown {
        let items: Vec<_> = self.iter().map(|item| quoted(&item.text())).collect();
        Shown::Set(format!("[{}]", items.join(", ")))
    }
}

impl<T: Value + Default> Value for Option<T> {
    fn set(&mut self, value: &toml::Value) -> Result<(), String> {
        self.insert(T::default()).set(value)
    }

    /// An empty variable unsets.
    fn set_text(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            *self = None;
            return Ok(());
        }
        self.insert(T::default()).set_text(text)
    }

    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Unset, Value::show)
    }
}

impl Value for Secret {
    fn set(&mut self, value: &toml::Value) -> Result<(), String> {
        self.set_text(value.as_str().ok_or("not a text in quotes")?)
    }

    fn set_text(&mut self, text: &str) -> Result<(), String> {
        *self = Self::new(text);
        Ok(())
    }

    fn show(&self) -> Shown {
        Shown::Hidden
    }
}

/// A list of tables, each of one shape: `[[section.key]]` in a file, a list of inline tables in a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables<T>(pub Vec<T>);

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: DeserializeOwned + Serialize> Value for Tables<T> {
    fn set(&mut self, value: &toml::Value) -> Result<(), String> {
        let list = value.as_array().ok_or_else(|| format!("{value} is not a list of tables"))?;
        let item = |(at, item): (usize, &toml::Value)| {
            let read = item.clone().try_into::<T>();
            read.map_err(|error| format!("entry {}: {}", at + 1, error.message()))
        };
        self.0 = list.iter().enumerate().map(item).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn set_text(&mut self, text: &str) -> Result<(), String> {
        let table = format!("list = {text}").parse::<toml::Table>();
        let table = table.map_err(|error| format!("not a list of TOML tables: {}", error.message()))?;
        table.get("list").map_or(Ok(()), |list| self.set(list))
    }

    fn show(&self) -> Shown {
        // What serde wrote as one table, TOML can write in one line.
        let items = self.0.iter().filter_map(|item| toml::Value::try_from(item).ok());
        let items: Vec<_> = items.map(|item| format!("\n    {item},")).collect();
        Shown::Set(if items.is_empty() { "[]".to_owned() } else { format!("[{}\n]", items.concat()) })
    }
}

/// An address that may be unset, since an address has no default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaybeAddress(pub Option<SocketAddr>);

impl Value for MaybeAddress {
    fn set(&mut self, value: &toml::Value) -> Result<(), String> {
        self.set_text(value.as_str().ok_or_else(|| format!("{value} is not a text in quotes"))?)
    }

    fn set_text(&mut self, text: &str) -> Result<(), String> {
        self.0 = if text.is_empty() { None } else { Some(address(text)?) };
        Ok(())
    }

    fn show(&self) -> Shown {
        self.0.map_or(Shown::Unset, |address| Shown::Set(quoted(&address.to_string())))
    }
}

/// Makes an enum whose values stand in TOML under these names.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $variant),+ }

        impl $name {
            /// As it stands in the configuration.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl $crate::config::value::Value for $name {
            fn set(&mut self, value: &toml::Value) -> Result<(), String> {
                self.set_text(value.as_str().ok_or_else(|| format!("{value} is not a text in quotes"))?)
            }
            fn set_text(&mut self, text: &str) -> Result<(), String> {
                *self = match text {
                    $($text => Self::$variant,)+
                    _ => return Err(format!("{text:?} is none of {}", [$(concat!('"', $text, '"')),+].join(", "))),
                };
                Ok(())
            }
            fn show(&self) -> $crate::config::value::Shown {
                $crate::config::value::Shown::Set(format!("{:?}", self.text()))
            }
        }
    };
}
pub(super) use choice;
