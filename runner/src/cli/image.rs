//! `image`: what is done to images, under podman's noun.

use clap::{Args, Subcommand};

use super::{Globals, history, image_inspect, image_prune, images, import, load, pull, push, rmi, save, tag};
use crate::error::Result;

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say by the exit code whether an image is here: 0 or 1
    Exists(image_inspect::Exists),
    /// Show the steps by which an image was made
    History(history::Arguments),
    /// Make an image of the files in a tar
    Import(import::Arguments),
    /// Show everything about images
    Inspect(image_inspect::Arguments),
    /// Bring images here out of an archive
    Load(load::Arguments),
    /// List images
    #[command(visible_alias = "list")]
    Ls(images::Arguments),
    /// Bring images here from a registry
    Pull(pull::Arguments),
    /// Remove images that have no name, and what nobody uses
    Prune(image_prune::Arguments),
    /// Copy an image to a registry
    Push(push::Arguments),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(rmi::Arguments),
    /// Write images into an archive
    Save(save::Arguments),
    /// Give an image more names
    Tag(tag::Arguments),
    /// Take names of an image away
    Untag(tag::Untag),
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    match &arguments.verb {
        Verb::Exists(arguments) => image_inspect::exists(globals, arguments),
        Verb::History(arguments) => history::run(globals, arguments),
        Verb::Import(arguments) => import::run(globals, arguments),
        Verb::Inspect(arguments) => image_inspect::run(globals, arguments),
        Verb::Load(arguments) => load::run(globals, arguments),
        Verb::Ls(arguments) => images::run(globals, arguments),
        Verb::Pull(arguments) => pull::run(globals, arguments),
        Verb::Prune(arguments) => image_prune::run(globals, arguments),
        Verb::Push(arguments) => push::run(globals, arguments),
        Verb::Rm(arguments) => rmi::run(globals, arguments),
        Verb::Save(arguments) => save::run(globals, arguments),
        Verb::Tag(arguments) => tag::run(globals, arguments),
        Verb::Untag(arguments) => tag::untag(globals, arguments),
    }
}
