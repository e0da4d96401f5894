//! The bar on a terminal: probes decided of probes to come, redrawn ten times a second at most.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar for `probes`; drawn on standard error, and only where a person watches.
pub(crate) fn bar(probes: u64, watched: bool) -> ProgressBar {
    if !watched {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} probes, {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(probes), ProgressDrawTarget::stderr_with_hz(10)).with_style(style)
}
