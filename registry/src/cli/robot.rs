//! `berth-registry robot …`: programs that log in with a secret.

use std::{io::Write, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{
    Source,
    ask::{ask, each_page, encoded, print_json, say},
};
use crate::{admin::AdminError, config::parse_time};

/// Commands about robots.
#[derive(Debug, Subcommand)]
pub enum Robot {
    /// Add a robot and print its secret
    ///
    ///     berth-registry robot add team/ci --expires 90d --description "builds of the team"
    ///     berth-registry policy add team-ci --subject robot:team/ci --verb pull,push --repo 'team/**'
    ///     docker login --username team/ci --password-stdin registry.example
    #[command(verbatim_doc_comment)]
    Add {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// What it is called, with a / in it: TEAM/NAME
        name: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        /// When its secret ends
        #[command(flatten)]
        end: End,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List all robots
    List {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Show a robot with its groups, as JSON
    Show(Named),
    /// Print a new secret, which takes the place of the old one at once
    Rotate {
        /// Which robot
        #[command(flatten)]
        one: Named,
        /// When its secret ends
        #[command(flatten)]
        end: End,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Shut a robot out: logins at once, tokens when they end
    Disable(Named),
    /// Let a robot in again
    Enable(Named),
    /// Delete a robot
    Delete(Named),
}

/// One robot.
#[derive(Args, Debug)]
pub struct Named {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// Its name
    name: String,
}

/// When a secret ends.
#[derive(Args, Debug)]
pub struct End {
    /// After how long the secret is worth nothing, as 90d or 12h; never without
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<Duration>,
}

impl End {
    fn seconds(&self) -> Option<u64> {
        self.expires.map(|time| time.as_secs())
    }
}

/// Runs it.
pub fn run(command: Robot) -> ExitCode {
    match command {
        Robot::Add { source, name, description, end, json } => ask(source, async move |registry| {
            let body = json!({ "name": name, "description": description, "expires_in": end.seconds() });
            told(&registry.call(Method::POST, "/api/v1/robots", Some(&body)).await?, json)
        }),
        Robot::List { source, json } => ask(source, async move |registry| {
            each_page(&registry, "/api/v1/robots", "robots", |robot| print_robot(robot, json)).await
        }),
        Robot::Show(one) => ask(one.source, async move |registry| {
            print_json(&registry.call(Method::GET, &path(&one.name), None).await?)
        }),
        Robot::Rotate { one, end, json } => ask(one.source, async move |registry| {
            let (path, body) =
                (format!("{}/secret", path(&one.name)), json!({ "expires_in": end.seconds() }));
            told(&registry.call(Method::POST, &path, Some(&body)).await?, json)
        }),
        Robot::Disable(one) => change(one, json!({ "disabled": true })),
        Robot::Enable(one) => change(one, json!({ "disabled": false })),
        Robot::Delete(one) => ask(one.source, async move |registry| {
            registry.call(Method::DELETE, &path(&one.name), None).await.map(|_| ())
        }),
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/robots/{}", encoded(name))
}

/// Shows a secret that was made: the secret alone to whatever reads it, a sentence around it to people.
fn told(answer: &Value, json: bool) -> Result<(), AdminError> {
    if json {
        return print_json(answer);
    }
    // Only a courtesy: that it could not be written changes nothing.
    let _courtesy = writeln!(std::io::stderr(), "The secret, which is shown this once:");
    say(answer["secret"].as_str().unwrap_or_default())
}

fn change(one: Named, body: Value) -> ExitCode {
    ask(one.source, async move |registry| {
        registry.call(Method::PATCH, &path(&one.name), Some(&body)).await.map(|_| ())
    })
}

fn print_robot(robot: &Value, json: bool) -> Result<(), AdminError> {
    if json {
        return say(&robot.to_string());
    }
    let mut marks = Vec::new();
    if robot["disabled"] == true {
        marks.push("shut out".to_owned());
    }
    if let Some(end) = robot["expires_at"].as_str() {
        marks.push(format!("until {end}"));
    }
    let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
    say(&format!("{}{marks}", robot["name"].as_str().unwrap_or_default()))
}
