//! `doctor`.

use std::{io::Write, path::Path};

use berth_runtime::{CgroupVersion, Features};
use clap::Args;

use super::Globals;
use crate::error::{Result, While};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {}

pub(super) fn run(_globals: &Globals, _arguments: &Arguments) -> Result<u8> {
    let features = Features::probe(Path::new("/")).doing("reading", "/proc")?;
    report(&features, &mut std::io::stdout()).doing("writing", "standard output")?;
    Ok(0)
}

fn report(features: &Features, out: &mut impl Write) -> std::io::Result<()> {
    let answer = |there: bool| if there { "yes" } else { "no" };
    let cgroups = match features.cgroups {
        CgroupVersion::Absent => "none mounted: no limit can be set",
        CgroupVersion::V1 => "version 1",
        CgroupVersion::Hybrid => "version 1 with version 2 beside it",
        CgroupVersion::V2 => "version 2",
    };
    writeln!(out, "kernel           {}", features.kernel)?;
    writeln!(out, "control groups   {cgroups}")?;
    writeln!(out, "controllers      {}", features.controllers.join(" "))?;
    writeln!(out, "user namespaces  {}", answer(features.user_namespaces))?;
    writeln!(out, "overlay          {}", answer(features.overlay))?;
    writeln!(out, "seccomp          {}", answer(features.seccomp))
}
