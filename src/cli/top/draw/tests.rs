//! What is on the screen.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::*;
use crate::top::fixture::{NOW, dead, findings, mesh, picture, press, top};

const PLAIN: Theme = Theme {
    colours: Colours::None,
    is_ascii: true,
};

fn screen(top: &mut Top, theme: &Theme, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, top, theme, NOW + 1_000)).unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as text, without the blanks at the ends of lines.
fn text(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let line = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..area.height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn look() {
    use dt_probe::ProbeKind;
    let mut top = top();
    let mut p = picture(&mesh(6, ProbeKind::Icmp, |cell| {
        match (cell.source, cell.destination) {
            (0, 1) => cell.p99 = Some(80_000_000),
            (0, 2) => *cell = dead(0, 2),
            _ => {}
        }
    }));
    p.findings = Ok(findings(&["node n0002 is down"]));
    top.look(Ok(p.clone()));
    press(&mut top, "<Down><Right>");
    println!("{}", text(&screen(&mut top, &PLAIN, (80, 24))).join("\n"));
    println!(
        "{}",
        text(&screen(
            &mut top,
            &Theme {
                is_ascii: false,
                ..PLAIN
            },
            (200, 40)
        ))
        .join("\n")
    );
    p.map = mesh(1000, ProbeKind::Icmp, |_| {});
    p.nodes = p.map.clone();
    top.look(Ok(p));
    press(&mut top, "G");
    println!("{}", text(&screen(&mut top, &PLAIN, (80, 24))).join("\n"));
    press(&mut top, "<Tab>");
    println!("{}", text(&screen(&mut top, &PLAIN, (80, 24))).join("\n"));
    press(&mut top, "?");
    println!("{}", text(&screen(&mut top, &PLAIN, (80, 24))).join("\n"));
}
