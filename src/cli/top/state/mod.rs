//! What the screen shows and what keys change in it. No terminal, no clock, no network: keys and pictures come in, what is
//! wanted and what is shown are read from it.

mod keys;
mod map;
mod worst;
mod zoom;

use dt_collect::plain::plain;

use super::model::{Finding, Findings, Look, Metric, Picture, Table, Want};
pub(super) use keys::Effect;
use map::Map;
pub(super) use worst::Ranked;
use worst::Worst;
pub(super) use zoom::Zoom;

/// The parts of the screen that take keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Panel {
    #[default]
    Map,
    Worst,
    Findings,
}

/// What lies over the panels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Overlay {
    #[default]
    None,
    Help,
    /// The pair of [`Want::pair`].
    Pair,
    Finding(Box<Finding>),
}

/// What is looked for by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) text: String,
    /// Whether keys are letters of it.
    pub(super) is_typing: bool,
}

/// Everything. [`Top::key`] and [`Top::look`] change it; drawing only scrolls.
#[derive(Debug)]
pub(super) struct Top {
    /// Where the numbers come from, in words.
    pub(super) origin: String,
    pub(super) want: Want,
    pub(super) metric: Metric,
    pub(super) panel: Panel,
    pub(super) overlay: Overlay,
    pub(super) search: Search,
    /// The latest picture there was.
    pub(super) picture: Option<Picture>,
    /// Why there is none, or no newer one.
    pub(super) trouble: Option<String>,
    /// An answer to the last key, or a line that was logged and when (UTC milliseconds).
    pub(super) answer: Option<String>,
    pub(super) logged: Option<(String, u64)>,
    pub(super) map: Map,
    pub(super) worst: Worst,
    /// The selected finding, and the first that is seen.
    pub(super) finding: usize,
    pub(super) first_finding: usize,
    /// How far an overlay is scrolled.
    pub(super) scroll: u16,
    pub(super) zoom: Option<Zoom>,
}

impl Top {
    pub(super) fn new(origin: &str, want: Want, metric: Metric) -> Top {
        Top {
            origin: plain(origin),
            want,
            metric,
            panel: Panel::default(),
            overlay: Overlay::default(),
            search: Search::default(),
            picture: None,
            trouble: None,
            answer: None,
            logged: None,
            map: Map::default(),
            worst: Worst::default(),
            finding: 0,
            first_finding: 0,
            scroll: 0,
            zoom: None,
        }
    }

    /// Takes a new look. What was selected stays selected, by name.
    pub(super) fn look(&mut self, look: Look) {
        match look {
            Ok(picture) => {
                self.trouble = None;
                self.picture = Some(picture);
                self.arrange();
            }
            Err(why) => self.trouble = Some(plain(&why)),
        }
    }

    /// Takes a line of the log.
    pub(super) fn log(&mut self, line: &str, now_ms: u64) {
        self.logged = Some((plain(line), now_ms));
    }

    /// The heat map's table.
    pub(super) fn table(&self) -> Option<&Table> {
        self.picture.as_ref().map(|picture| &*picture.map)
    }

    /// Whether the picture is what is wanted, and not that of an earlier wish.
    pub(super) fn is_current(&self) -> bool {
        self.table().is_some_and(|table| {
            table.view == self.want.view
                && table.level == self.want.level
                && self.want.probe.is_none_or(|probe| probe == table.probe)
        })
    }

    /// Findings that the search leaves, or why there are none at all.
    pub(super) fn findings(&self) -> Result<(&Findings, Vec<&Finding>), &str> {
        match self.picture.as_ref().map(|picture| &picture.findings) {
            None => Err(""),
            Some(Err(why)) => Err(why),
            Some(Ok(findings)) => {
                let text = self.search.text.to_lowercase();
                let shown = findings.findings.iter().filter(|finding| finding.contains(&text));
                Ok((findings, shown.collect()))
            }
        }
    }

    /// Brings what is derived from the picture up to date with it, and with what was chosen.
    fn arrange(&mut self) {
        let Some(picture) = &self.picture else { return };
        // Nodes of two groups are shown once there are nodes.
        let zoom = self.zoom.as_ref().filter(|zoom| picture.map.level < zoom.from);
        self.map.arrange(&picture.map, zoom);
        self.worst.arrange(&picture.nodes, self.metric, &self.search.text);
        let findings = self.findings().map_or(0, |(_, shown)| shown.len());
        self.finding = self.finding.min(findings.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
