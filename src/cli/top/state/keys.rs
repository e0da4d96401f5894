//! What each key does.

use dt_collect::{Level, View};
use dt_probe::ProbeKind;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Overlay, Panel, Top, Zoom};
use crate::top::model::Metric;

/// Longer names are not looked for.
const LONGEST_SEARCH: usize = 64;

/// What a key asks of those who run all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Quit,
    /// Stop, as a shell stops a job.
    Suspend,
    /// Draw all of it again: something else wrote on the terminal.
    Repaint,
}

impl Top {
    /// Does what `key` says.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Effect> {
        self.answer = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Effect::Quit),
                KeyCode::Char('z') => Some(Effect::Suspend),
                KeyCode::Char('l') => Some(Effect::Repaint),
                _ => None,
            };
        }
        if self.search.is_typing {
            self.type_key(key.code);
            return None;
        }
        match key.code {
            KeyCode::Char('q') => return Some(Effect::Quit),
            KeyCode::Char('?') => self.toggle_help(),
            KeyCode::Esc | KeyCode::Backspace => self.back(),
            code if self.overlay != Overlay::None => self.overlay_key(code),
            code => self.panel_key(code),
        }
        None
    }

    fn toggle_help(&mut self) {
        self.scroll = 0;
        match self.overlay {
            Overlay::Help => self.back(),
            _ => self.overlay = Overlay::Help,
        }
    }

    /// One step out of where one is.
    fn back(&mut self) {
        if self.overlay != Overlay::None {
            // Help may have been asked for over a pair.
            let was_help = self.overlay == Overlay::Help;
            self.overlay = if was_help && self.want.pair.is_some() {
                Overlay::Pair
            } else {
                self.want.pair = None;
                Overlay::None
            };
            self.scroll = 0;
        } else if !self.search.text.is_empty() {
            self.search.text.clear();
            self.arrange();
        } else if let Some(zoom) = self.zoom.take() {
            self.want.level = zoom.from;
            self.map.select(zoom.source.name, zoom.destination.name);
            self.arrange();
        }
    }

    fn overlay_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Enter => self.back(),
            KeyCode::Char('v' | 'V' | 'm' | 'M') if self.overlay == Overlay::Pair => self.choose(code),
            _ => {}
        }
    }

    fn panel_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Tab => self.panel = self.panel.next(),
            KeyCode::BackTab => self.panel = self.panel.next().next(),
            KeyCode::Char('/') => {
                self.search.text.clear();
                self.search.is_typing = true;
                self.arrange();
            }
            KeyCode::Char('n') => self.find(true, false),
            KeyCode::Char('N') => self.find(false, false),
            KeyCode::Enter => self.open(),
            KeyCode::Down | KeyCode::Char('j') => self.step(1, 0),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, 0),
            KeyCode::Right | KeyCode::Char('l') => self.step(0, 1),
            KeyCode::Left | KeyCode::Char('h') => self.step(0, -1),
            KeyCode::PageDown => self.step(self.page(), 0),
            KeyCode::PageUp => self.step(-self.page(), 0),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN, isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX, isize::MAX),
            code => self.choose(code),
        }
    }

    /// View, level, kind of probe and metric.
    fn choose(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('v') => self.want.view = after(&View::ALL, self.want.view, 1),
            KeyCode::Char('V') => self.want.view = after(&View::ALL, self.want.view, View::ALL.len() - 1),
            KeyCode::Char('L') => {
                self.zoom = None;
                self.want.level = after(&Level::ALL, self.want.level, 1);
                self.arrange();
            }
            KeyCode::Char('p') => {
                let shown = self.want.probe.or(self.table().map(|table| table.probe));
                let next = shown.map(|probe| after(ProbeKind::ALL, probe, 1));
                self.want.probe = Some(next.unwrap_or(ProbeKind::Icmp));
            }
            KeyCode::Char('m') => self.measure(1),
            KeyCode::Char('M') => self.measure(Metric::ALL.len() - 1),
            _ => {}
        }
    }

    fn measure(&mut self, steps: usize) {
        self.metric = after(&Metric::ALL, self.metric, steps);
        self.arrange();
    }

    fn step(&mut self, down: isize, right: isize) {
        let Some(picture) = &self.picture else { return };
        match self.panel {
            Panel::Map => self.map.step(&picture.map, down, right),
            Panel::Worst => self.worst.step(&picture.nodes, down),
            Panel::Findings => {
                let last = self.findings().map_or(0, |(_, shown)| shown.len()).saturating_sub(1);
                self.finding = self.finding.saturating_add_signed(down).min(last);
            }
        }
    }

    fn page(&self) -> isize {
        let page = match self.panel {
            Panel::Map => self.map.seen.0.len(),
            Panel::Worst => self.worst.page,
            Panel::Findings => 4,
        };
        isize::try_from(page.max(1)).unwrap_or(1)
    }

    /// What lies behind the selected cell, pair or finding.
    fn open(&mut self) {
        let Some(picture) = &self.picture else { return };
        let pair = match self.panel {
            Panel::Findings => {
                let chosen = self
                    .findings()
                    .ok()
                    .and_then(|(_, shown)| shown.get(self.finding).copied().cloned());
                if let Some(finding) = chosen {
                    self.scroll = 0;
                    self.overlay = Overlay::Finding(Box::new(finding));
                }
                return;
            }
            Panel::Worst => self.worst.selected(&picture.nodes),
            Panel::Map => {
                let Some((source, destination)) = self.map.selected() else {
                    return;
                };
                let groups = picture.map.group(source).zip(picture.map.group(destination));
                let Some((from, to)) = groups.map(|(from, to)| (from.clone(), to.clone())) else {
                    return;
                };
                if picture.map.level != Level::Node {
                    self.zoom = Some(Zoom {
                        from: picture.map.level,
                        source: from,
                        destination: to,
                    });
                    self.want.level = Level::Node;
                    return;
                }
                if source == destination {
                    self.answer = Some("no node probes itself".to_owned());
                    return;
                }
                Some((from.name, to.name))
            }
        };
        if pair.is_some() {
            self.want.pair = pair;
            self.overlay = Overlay::Pair;
            self.scroll = 0;
        }
    }

    fn type_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(c) if self.search.text.chars().count() < LONGEST_SEARCH && !c.is_control() => {
                self.search.text.push(c);
                self.find(true, true);
            }
            KeyCode::Backspace => _ = self.search.text.pop(),
            KeyCode::Enter => self.search.is_typing = false,
            KeyCode::Esc => {
                self.search.is_typing = false;
                self.search.text.clear();
            }
            _ => return,
        }
        self.arrange();
    }

    /// Selects the next group of the heat map whose name contains what is looked for. The lists show nothing else anyway.
    fn find(&mut self, forward: bool, stay: bool) {
        let Some(picture) = &self.picture else { return };
        let matches = picture.map.matching(&self.search.text);
        if !self.map.find(&picture.map, &matches, forward, stay) && !self.search.text.is_empty() {
            self.answer = Some("no such name in the heat map".to_owned());
        }
    }
}

impl Panel {
    fn next(self) -> Panel {
        match self {
            Panel::Map => Panel::Worst,
            Panel::Worst => Panel::Findings,
            Panel::Findings => Panel::Map,
        }
    }
}

/// The one that stands `steps` after `now`, around the end.
fn after<T: Copy + PartialEq>(all: &[T], now: T, steps: usize) -> T {
    let at = all.iter().position(|one| *one == now).unwrap_or(0);
    all.get((at + steps) % all.len().max(1)).copied().unwrap_or(now)
}
