//! Which part of the screen is whose.

use ratatui::layout::{Constraint, Layout, Rect};

use super::map;
use crate::top::state::{Panel, Top};

/// From this width on the lists stand beside the heat map, below it they stand under it.
const BESIDE: u16 = 120;
/// What the lists keep while another part has the keys: a title, a head and two or one lines.
const WORST: u16 = 4;
const FINDINGS: u16 = 2;
const MAP: u16 = 7;

pub(super) struct Panels {
    pub(super) map: Rect,
    pub(super) worst: Rect,
    pub(super) findings: Rect,
}

/// Two lines on top, one below.
pub(super) fn frame(area: Rect) -> [Rect; 3] {
    Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)]).areas(area)
}

pub(super) fn panels(body: Rect, top: &Top) -> Panels {
    let wanted = wanted(top);
    if body.width >= BESIDE {
        let (_, columns) = map::wanted(top, body.width * 13 / 20);
        let left = columns.clamp(body.width / 2, body.width * 13 / 20);
        let [map, lists] = Layout::horizontal([Constraint::Length(left), Constraint::Fill(1)]).areas(body);
        let lists = Rect {
            x: lists.x + 1,
            width: lists.width - 1,
            ..lists
        };
        let [_, worst, findings] = share(
            lists.height,
            [0, wanted[1], wanted[2]],
            [0, WORST, FINDINGS + 2],
            top.panel,
        );
        let [worst, findings] =
            Layout::vertical([Constraint::Length(worst), Constraint::Length(findings)]).areas(lists);
        return Panels { map, worst, findings };
    }
    let heights = share(body.height, wanted, [MAP, WORST, FINDINGS], top.panel);
    let [map, worst, findings] = Layout::vertical(heights.map(Constraint::Length)).areas(body);
    Panels { map, worst, findings }
}

/// How many lines each part has something for.
fn wanted(top: &Top) -> [u16; 3] {
    let lines = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let findings = top.findings().map_or(1, |(_, shown)| shown.len().max(1));
    [
        map::wanted(top, u16::MAX).0,
        lines(top.worst.pairs.len().max(1)).saturating_add(2),
        lines(findings).saturating_add(1),
    ]
}

/// Shares `height`: everyone's least first, then what the part with the keys wants, then the others, and what is left goes to
/// the list of pairs, which has always more.
fn share(height: u16, wanted: [u16; 3], least: [u16; 3], focus: Panel) -> [u16; 3] {
    let focus = match focus {
        Panel::Map => 0,
        Panel::Worst => 1,
        Panel::Findings => 2,
    };
    let mut given = [0; 3];
    let mut left = height;
    let mut give = |part: usize, up_to: u16, given: &mut [u16; 3]| {
        let more = up_to.saturating_sub(given[part]).min(left);
        given[part] += more;
        left -= more;
    };
    for (part, least) in least.into_iter().enumerate() {
        give(part, least, &mut given);
    }
    for part in [focus, 0, 2, 1] {
        give(part, wanted[part], &mut given);
    }
    give(1, u16::MAX, &mut given);
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_keys_gets_most_and_nobody_is_left_out() {
        let least = [MAP, WORST, FINDINGS];
        // 80 x 24 with a thousand nodes.
        let wanted = [1004, 502, 4];
        assert_eq!(share(21, wanted, least, Panel::Map), [15, 4, 2]);
        assert_eq!(share(21, wanted, least, Panel::Worst), [7, 12, 2]);
        assert_eq!(share(21, wanted, least, Panel::Findings), [13, 4, 4]);
        // A small cluster: what the map doesn't need shows pairs.
        assert_eq!(share(21, [10, 32, 2], least, Panel::Map), [10, 9, 2]);
        assert_eq!(share(9, wanted, least, Panel::Map), [7, 2, 0]);
    }
}
