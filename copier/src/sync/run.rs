//! Carries a plan out, or only tells it.

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt, stream};
use tracing::{error, info};

use super::{
    access::{Access, Comparison},
    listing::{Failure, list},
    plan::{Item, Plan, plan},
    report::{Action, DeletionReport, ImageReport, Report},
    request::Request,
};
use crate::{Error, ImageName, Result, copy};

/// Lists, plans, copies, and deletes.
pub(super) async fn run(access: &dyn Access, request: &Request) -> Result<Report> {
    let plan = plan(access, request, list(access, request).await?).await?;
    tell_early(&plan);
    let stop = |failures: &[Failure]| !request.keep_going && !failures.is_empty();
    let count = plan.items.len();
    let mut done: BTreeMap<usize, ImageReport> = BTreeMap::new();
    // A repository that cannot be listed does not keep the others from being synced; it fails the whole in the end.
    let mut failures = Vec::new();
    let copy = |(number, item): (usize, _)| copy(access, item, number, count).boxed();
    let copies: Vec<_> = plan.items.iter().enumerate().map(copy).collect();
    let mut copies = stream::iter(copies).buffer_unordered(request.parallel.max(1));
    while let Some((number, item, result)) = copies.next().await {
        match result {
            Ok(report) => drop(done.insert(number, copied(item, &report))),
            Err(error) => {
                if request.keep_going {
                    error!(error = %error, "Error copying ref \"{}\"", item.source);
                }
                done.insert(number, image(item, Action::Fail));
                failures.push(failed(item, error));
                if stop(&failures) {
                    break;
                }
            }
        }
    }
    // What was under way ends here and leaves nothing that looks like an image.
    drop(copies);
    let mut deleted = Vec::new();
    if !stop(&failures) {
        deleted = delete(access, request, &plan.deletions, &mut failures).await;
    }
    failures.extend(plan.failures);
    let images: Vec<_> = done.into_values().collect();
    let bytes_copied = images.iter().filter_map(|image| image.bytes).sum();
    let report = Report { dry_run: false, sources: plan.sources, images, deleted, bytes_copied, failures };
    let synced = report.images.len() - report.count(Action::Fail);
    info!("Synced {synced} images from {} sources", report.sources);
    Ok(report)
}

/// Lists, plans, and compares, without writing anything.
pub(super) async fn dry_run(access: &dyn Access, request: &Request) -> Result<Report> {
    let plan = plan(access, request, list(access, request).await?).await?;
    tell_early(&plan);
    let comparisons: Vec<_> = plan.items.iter().map(|item| access.compare(item)).collect();
    let compared: Vec<_> = stream::iter(comparisons).buffered(request.parallel.max(1)).collect().await;
    let mut failures = plan.failures;
    let mut images = Vec::new();
    for (number, (item, comparison)) in plan.items.iter().zip(compared).enumerate() {
        let checked = comparison.and_then(|found| check_folder(request, &item.destination, found));
        images.push(match checked {
            Ok(Comparison { digest, present: true, .. }) => {
                ImageReport { digest: Some(digest), ..image(item, Action::Skip) }
            }
            Ok(Comparison { digest, bytes, .. }) => {
                let count = plan.items.len();
                info!(
                    from = %item.source, to = %item.destination,
                    "Would have copied image ref {}/{count}", number + 1
                );
                ImageReport { digest: Some(digest), bytes, ..image(item, Action::Copy) }
            }
            Err(error) => {
                failures.push(failed(item, error));
                image(item, Action::Fail)
            }
        });
    }
    let mut deleted = Vec::new();
    for image in &plan.deletions {
        match access.digest(image).await {
            Ok(digest) => deleted.push(DeletionReport { image: image.to_string(), digest }),
            Err(error) => failures.push(Failure { what: format!("deleting {image}"), error }),
        }
    }
    info!("Would have synced {} images from {} sources", images.len(), plan.sources);
    Ok(Report { dry_run: true, sources: plan.sources, images, deleted, bytes_copied: 0, failures })
}

/// What failed before the first copy is told at once, and counted in the end.
fn tell_early(plan: &Plan) {
    for failure in &plan.failures {
        error!("{}: {}", failure.what, failure.error);
    }
}

/// Refuses to put an image in the place of another one in a folder, as Skopeo's users are used to; the same image, or
/// what an interrupted sync left, is no obstacle.
///
/// # Errors
/// `Error::Refused`.
pub(super) fn check_folder(
    request: &Request,
    destination: &ImageName,
    found: Comparison,
) -> Result<Comparison> {
    match (destination, &found.other) {
        (ImageName::Dir(path), Some(other)) if !found.present && !request.overwrite => {
            Err(Error::Refused(format!(
                "Refusing to overwrite destination directory {:?}: it holds the image {other}, not {}; --overwrite replaces it",
                path.display().to_string(),
                found.digest
            )))
        }
        _ => Ok(found),
    }
}

async fn delete(
    access: &dyn Access,
    request: &Request,
    images: &[ImageName],
    failures: &mut Vec<Failure>,
) -> Vec<DeletionReport> {
    let deletions: Vec<_> = images.iter().map(|image| delete_one(access, image).boxed()).collect();
    let results: Vec<_> = stream::iter(deletions).buffered(request.parallel.max(1)).collect().await;
    let mut out = Vec::new();
    for (image, result) in images.iter().zip(results) {
        match result {
            Ok(report) => {
                info!("Deleted {image}");
                out.push(report);
            }
            Err(error) => {
                error!(error = %error, "Error deleting \"{image}\"");
                failures.push(Failure { what: format!("deleting {image}"), error });
            }
        }
    }
    out
}

async fn delete_one(access: &dyn Access, image: &ImageName) -> Result<DeletionReport> {
    let digest = access.digest(image).await?;
    access.delete(image).await?;
    Ok(DeletionReport { image: image.to_string(), digest })
}

/// Copies one image of `count`.
async fn copy<'a>(
    access: &dyn Access,
    item: &'a Item,
    number: usize,
    count: usize,
) -> (usize, &'a Item, Result<copy::Report>) {
    info!(from = %item.source, to = %item.destination, "Copying image ref {}/{count}", number + 1);
    (number, item, access.copy(item).await)
}

fn failed(item: &Item, error: Error) -> Failure {
    Failure { what: format!("Error copying ref \"{}\"", item.source), error }
}

fn image(item: &Item, action: Action) -> ImageReport {
    ImageReport {
        source: item.source.to_string(),
        destination: item.destination.to_string(),
        action,
        digest: None,
        bytes: None,
    }
}

fn copied(item: &Item, report: &copy::Report) -> ImageReport {
    let action = if report.unchanged { Action::Skip } else { Action::Copy };
    ImageReport {
        digest: Some(report.digest.clone()),
        bytes: Some(report.bytes_copied),
        ..image(item, action)
    }
}
