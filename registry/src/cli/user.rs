//! `berth-registry user …`: people, and the groups they are in.

use std::{io::Write, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{
    Source,
    ask::{ask, each_page, encoded, print_json, say},
    password::{NewPassword, password},
};
use crate::admin::{Admin, AdminError};

/// Commands about users.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user
    ///
    ///     berth-registry user add alice --admin
    ///     berth-registry user add bob --generate
    ///     berth-registry user add carol --password-stdin < password.txt
    #[command(verbatim_doc_comment)]
    Add {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// What they are called: letters, digits and . _ - @ +
        name: String,
        /// They administer the registry: may do whatever can be done
        #[arg(long)]
        admin: bool,
        /// Where the password comes from
        #[command(flatten)]
        password: NewPassword,
    },
    /// List all users
    List {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Show a user with its groups, as JSON
    Show(Named),
    /// Shut a user out: logins at once, tokens when they end
    Disable(Named),
    /// Let a user in again
    Enable(Named),
    /// Make a user an administrator
    Promote(Named),
    /// Make an administrator a user like others
    Demote(Named),
    /// Delete a user
    Delete(Named),
    /// Set a new password; whatever the old one was exchanged for ends
    Passwd {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Whose
        name: String,
        /// Where the password comes from
        #[command(flatten)]
        password: NewPassword,
    },
    /// Groups, which rules of the policy name as group:NAME
    Group {
        /// Which of it
        #[command(subcommand)]
        command: Group,
    },
}

/// One user or group.
#[derive(Args, Debug)]
pub struct Named {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// Its name
    name: String,
}

/// Commands about groups.
#[derive(Debug, Subcommand)]
pub enum Group {
    /// Add a group
    Add {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// What it is called
        name: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List all groups
    List {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// List the members of a group
    Show(Named),
    /// Make members of a group
    ///
    ///     berth-registry user group join dev alice bob robot:team/ci cert:builder
    #[command(verbatim_doc_comment)]
    Join(Membership),
    /// Take members out of a group
    Leave(Membership),
    /// Delete a group; its members stay users
    Delete(Named),
}

/// A group and some of its members.
#[derive(Args, Debug)]
pub struct Membership {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// The group
    group: String,
    /// Users by name, or robot:TEAM/NAME, cert:NAME
    #[arg(required = true)]
    members: Vec<String>,
}

/// Runs it.
pub fn run(command: User) -> ExitCode {
    match command {
        User::Add { source, name, admin, password } => {
            ask(source, async move |registry| add(&registry, &name, admin, &password).await)
        }
        User::List { source, json } => ask(source, async move |registry| {
            each_page(&registry, "/api/v1/users", "users", |user| print_user(user, json)).await
        }),
        User::Show(one) => ask(one.source, async move |registry| {
            print_json(&registry.call(Method::GET, &path(&one.name), None).await?)
        }),
        User::Disable(one) => change(one, json!({ "disabled": true })),
        User::Enable(one) => change(one, json!({ "disabled": false })),
        User::Promote(one) => change(one, json!({ "admin": true })),
        User::Demote(one) => change(one, json!({ "admin": false })),
        User::Delete(one) => ask(one.source, async move |registry| {
            registry.call(Method::DELETE, &path(&one.name), None).await.map(|_| ())
        }),
        User::Passwd { source, name, password } => {
            ask(source, async move |registry| passwd(&registry, &name, &password).await)
        }
        User::Group { command } => group(command),
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/users/{}", encoded(name))
}

async fn add(registry: &Admin, name: &str, admin: bool, new: &NewPassword) -> Result<(), AdminError> {
    let body = json!({ "name": name, "admin": admin, "password": password(new, name)? });
    told(&registry.call(Method::POST, "/api/v1/users", Some(&body)).await?)
}

async fn passwd(registry: &Admin, name: &str, new: &NewPassword) -> Result<(), AdminError> {
    let body = json!({ "password": password(new, name)? });
    told(&registry.call(Method::PUT, &format!("{}/password", path(name)), Some(&body)).await?)
}

/// Shows a password that was made: the password alone to whatever reads it, a sentence around it to people.
fn told(answer: &Value) -> Result<(), AdminError> {
    let Some(password) = answer["password"].as_str() else { return Ok(()) };
    // Only a courtesy: that it could not be written changes nothing.
    let _courtesy = writeln!(std::io::stderr(), "The password, which is shown this once:");
    say(password)
}

fn change(one: Named, body: Value) -> ExitCode {
    ask(one.source, async move |registry| {
        registry.call(Method::PATCH, &path(&one.name), Some(&body)).await.map(|_| ())
    })
}

fn print_user(user: &Value, json: bool) -> Result<(), AdminError> {
    if json {
        return say(&user.to_string());
    }
    let marks = [("admin", "administrator"), ("disabled", "shut out")];
    let marks: Vec<_> = marks.iter().filter(|(key, _)| user[key] == true).map(|(_, mark)| *mark).collect();
    let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
    say(&format!("{}{marks}", user["name"].as_str().unwrap_or_default()))
}

fn group(command: Group) -> ExitCode {
    match command {
        Group::Add { source, name, description } => ask(source, async move |registry| {
            let body = json!({ "name": name, "description": description });
            registry.call(Method::POST, "/api/v1/groups", Some(&body)).await.map(|_| ())
        }),
        Group::List { source, json } => ask(source, async move |registry| {
            let print = |group: &Value| {
                if json { say(&group.to_string()) } else { say(group["name"].as_str().unwrap_or_default()) }
            };
            each_page(&registry, "/api/v1/groups", "groups", print).await
        }),
        Group::Show(one) => ask(one.source, async move |registry| {
            let print = |member: &Value| say(member.as_str().unwrap_or_default());
            each_page(&registry, &format!("/api/v1/groups/{}", encoded(&one.name)), "members", print).await
        }),
        Group::Join(some) => members(some, Method::PUT),
        Group::Leave(some) => members(some, Method::DELETE),
        Group::Delete(one) => ask(one.source, async move |registry| {
            let path = format!("/api/v1/groups/{}", encoded(&one.name));
            registry.call(Method::DELETE, &path, None).await.map(|_| ())
        }),
    }
}

fn members(some: Membership, method: Method) -> ExitCode {
    ask(some.source, async move |registry| {
        for member in &some.members {
            let path = format!("/api/v1/groups/{}/members/{}", encoded(&some.group), encoded(member));
            registry.call(method.clone(), &path, None).await?;
        }
        Ok(())
    })
}
