//! `create`, and what `run` does first.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Context, Globals,
    container_flags::{ContainerFlags, Ids, ImageConfig, Plan, Surroundings},
    output,
};
use crate::{
    bundle::ids::Blocks,
    error::{Result, RunnerError, While},
    image::{self, Access, Pull, Told},
    record::{Desired, ImageUse, MountKind, UserNamespace},
    rootless,
    supervisor::events,
    volume::Volumes,
};

/// Its arguments.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: ContainerFlags,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let desired = create(&context, &arguments.flags, || Ok(()))?;
    output::line(desired.id.as_str())?;
    Ok(0)
}

/// A file that is taken away again unless it is kept.
struct CidFile(Option<PathBuf>);

impl CidFile {
    /// Two containers do not share one: a file that is there is somebody's.
    fn write(path: Option<&Path>, id: &str) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let mut file = match fs::File::create_new(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(RunnerError::Conflict(format!(
                    "--cidfile {}: is there already: remove it, if its container is gone",
                    path.display()
                )));
            }
            Err(error) => return Err(error).doing("making", path),
        };
        let made = Self(Some(path.to_owned()));
        file.write_all(id.as_bytes()).doing("writing", path)?;
        Ok(made)
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _gone = fs::remove_file(path);
        }
    }
}

/// Makes the volumes that are not there, and gives unnamed ones their names.
fn make_volumes(volumes: &Volumes, desired: &mut Desired) -> Result<()> {
    for mount in &mut desired.mounts {
        let MountKind::Volume { name, anonymous, .. } = &mut mount.kind else { continue };
        if *anonymous && name.is_empty() {
            *name = volumes.create(None, Default::default(), true)?.name;
        } else {
            volumes.ensure(name)?;
        }
    }
    Ok(())
}

/// The image of a name, brought here where it has to be, and what it says.
fn image_of(context: &Context, plan: &Plan, name: &str) -> Result<(ImageUse, ImageConfig)> {
    let access = Access { policy: context.signature_policy.clone(), ..plan.access.clone() };
    let (platform, told) = (plan.platform.as_ref(), Told::new(plan.quiet));
    let pull = Pull { store: &context.store, access: &access, platform, told };
    let image = image::ensure(&pull, name, plan.policy)?;
    let config = ImageConfig::parse(&context.store.blob(&image.id)?)?;
    let full = image
        .names
        .iter()
        .find(|full| *full == name || full.ends_with(&format!("/{name}")) || full.contains(name));
    let full = full.or(image.names.first()).cloned().unwrap_or_else(|| name.to_owned());
    Ok((ImageUse { name: full, manifest: image.manifest, id: image.id }, config))
}

/// Makes a container: flags, image, record. It does not run yet. `before` comes before anything of it is written.
pub(super) fn create(
    context: &Context,
    flags: &ContainerFlags,
    before: impl FnOnce() -> Result<()>,
) -> Result<Desired> {
    let surroundings = Surroundings {
        folders: &context.folders,
        records: &context.records,
        rootless: rootless::is_inside(),
    };
    let plan = flags.plan(&surroundings)?;
    // Until the record names the image, nothing else would keep it.
    let held = context.store.hold()?;
    let found = match plan.image.as_ref().map(|name| image_of(context, &plan, name)).transpose() {
        Ok(found) => found,
        Err(error) => {
            drop(held);
            if image::is_refused(&error) {
                image::sweep(&context.store, &Told::new(plan.quiet));
            }
            return Err(error);
        }
    };
    let (mut desired, ids, warnings) = plan.finish(found, &surroundings)?;
    for warning in warnings {
        let _told = writeln!(std::io::stderr(), "berth-runner: warning: {warning}");
    }
    before()?;
    if flags.life.replace {
        super::replace::take_away(context, &desired.name)?;
    }
    let cid = CidFile::write(flags.life.cidfile.as_deref(), desired.id.as_str())?;
    let volumes = Volumes::new(&context.folders);
    let written = make_volumes(&volumes, &mut desired).and_then(|()| write(context, &mut desired, &ids));
    if let Err(error) = written {
        // The first error is the one to tell.
        let _left = volumes.remove_anonymous(&desired);
        return Err(error);
    }
    cid.keep();
    events::note(&context.folders, &desired, "create");
    Ok(desired)
}

fn write(context: &Context, desired: &mut Desired, ids: &Ids) -> Result<()> {
    match ids {
        Ids::Fixed(_) => context.records.create(desired),
        Ids::Auto(size) => {
            let folder = context.folders.container(&desired.id);
            let blocks = Blocks::of(&context.folders);
            let named = || {
                let text = |path: &str| context.store.text_of(desired, Path::new(path));
                Ok([text("etc/passwd")?.unwrap_or_default(), text("etc/group")?.unwrap_or_default()])
            };
            let size = match size {
                Some(size) => *size,
                None => blocks.usual(named, &desired.process.user)?,
            };
            blocks.take(size, &folder, |map| {
                desired.isolation.user = UserNamespace::Private { uids: vec![map], gids: vec![map] };
                context.records.create(desired)
            })
        }
    }
}
