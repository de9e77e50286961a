//! Plots beside the numbers: one page without scripts, which any browser and any mail shows, its figures drawn as SVG.

use std::fmt::{self, Write as _};

use crate::report::Machine;

/// One figure of a page.
pub(crate) struct Figure {
    pub(crate) title: String,
    /// What the upright axis measures.
    pub(crate) unit: String,
    pub(crate) shape: Shape,
    /// A line across at the number to reach, and what it is called.
    pub(crate) mark: Option<(f64, String)>,
}

/// What is drawn.
pub(crate) enum Shape {
    /// Groups of bars, a bar for each name in each.
    Bars(Vec<Group>),
    /// A line for each series of points, along an axis that measures `along`.
    Lines { along: String, series: Vec<Series> },
}

/// Bars side by side: the group's name, and each bar's with its height.
pub(crate) type Group = (String, Vec<(String, f64)>);
/// A line: its name and its points.
pub(crate) type Series = (String, Vec<(f64, f64)>);

/// A page of figures.
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    pub(crate) date: &'a str,
    pub(crate) machine: &'a Machine,
    pub(crate) figures: &'a [Figure],
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
/// Room for numbers left of the drawing, and below it for names and what they mean.
const LEFT: f64 = 60.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 58.0;
/// Okabe and Ito's colours, which everybody can tell apart.
const COLOURS: [&str; 8] =
    ["#999999", "#0072b2", "#56b4e9", "#009e73", "#d55e00", "#e69f00", "#cc79a7", "#000000"];
/// Steps between two lines of the grid, at most that many.
const STEPS: f64 = 5.0;

// === impl Figure ===

impl Figure {
    pub(crate) fn new(title: impl Into<String>, unit: impl Into<String>, shape: Shape) -> Self {
        Self { title: title.into(), unit: unit.into(), shape, mark: None }
    }

    pub(crate) fn with_mark(self, at: f64, name: impl Into<String>) -> Self {
        Self { mark: Some((at, name.into())), ..self }
    }

    /// The share of samples that took at most so long: a line for each name.
    pub(crate) fn shares(title: impl Into<String>, unit: &str, samples: &[(&str, &[f64])]) -> Self {
        let series = samples.iter().map(|(name, samples)| {
            let mut sorted = samples.to_vec();
            sorted.sort_by(f64::total_cmp);
            let count = sorted.len() as f64;
            let points =
                sorted.into_iter().enumerate().map(|(at, sample)| (sample, (at + 1) as f64 / count * 100.0));
            ((*name).to_owned(), points.collect())
        });
        let shape = Shape::Lines { along: unit.to_owned(), series: series.collect() };
        Self::new(title, "% of samples within", shape)
    }

    /// What is drawn, each name once.
    fn names(&self) -> Vec<&str> {
        match &self.shape {
            Shape::Bars(groups) => {
                once(groups.iter().flat_map(|(_, bars)| bars).map(|(name, _)| name.as_str()))
            }
            Shape::Lines { series, .. } => once(series.iter().map(|(name, _)| name.as_str())),
        }
    }

    /// `all` are the names of the whole page: who is blue in one figure is blue in all.
    fn draw(&self, out: &mut String, all: &[&str]) -> fmt::Result {
        writeln!(out, "<figure><figcaption>{}, {}</figcaption>", text(&self.title), text(&self.unit))?;
        let high = step_above(self.highest());
        writeln!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            text(&self.title)
        )?;
        let steps = (high / step_of(high)).round() as u32;
        for step in 0..=steps {
            let value = f64::from(step) * step_of(high);
            let y = height(value, high);
            writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"
            )?;
            label(out, LEFT - 6.0, y + 4.0, "end", &short(value))?;
        }
        match &self.shape {
            Shape::Bars(groups) => bars(out, groups, high, all)?,
            Shape::Lines { along, series } => lines(out, along, series, high, all)?,
        }
        if let Some((at, name)) = &self.mark {
            let y = height(*at, high);
            writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#c00\" stroke-dasharray=\"6 4\"/>"
            )?;
            label(out, WIDTH - 4.0, y - 4.0, "end", name)?;
        }
        legend(out, &self.names(), all)?;
        writeln!(out, "</svg></figure>")
    }

    fn highest(&self) -> f64 {
        let values: Vec<f64> = match &self.shape {
            Shape::Bars(groups) => {
                groups.iter().flat_map(|(_, bars)| bars).map(|(_, value)| *value).collect()
            }
            Shape::Lines { series, .. } => {
                series.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).collect()
            }
        };
        let mark = self.mark.as_ref().map(|(at, _)| *at);
        values.into_iter().chain(mark).filter(|value| value.is_finite()).fold(0.0, f64::max)
    }
}

// === impl Page ===

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, memory_mib, kernel, commit, load_before, .. } = self.machine;
        let mut out = String::new();
        writeln!(
            out,
            "<!doctype html><meta charset=\"utf-8\"><title>{title}</title>\n<style>body{{font:15px system-ui;max-width:{WIDTH}px;margin:2em auto;padding:0 1em}}\
            figure{{margin:2em 0}}figcaption{{font-weight:600}}svg{{width:100%;font:12px system-ui}}</style>\n<h1>{title}</h1>",
            title = text(self.title)
        )?;
        writeln!(
            out,
            "<p>{} · commit {} · {}, {cores} cores, {memory_mib} MiB, kernel {} · load before {}</p>",
            text(self.date),
            text(commit),
            text(processor),
            text(kernel),
            text(load_before)
        )?;
        let all = once(self.figures.iter().flat_map(Figure::names));
        for figure in self.figures {
            figure.draw(&mut out, &all)?;
        }
        f.write_str(&out)
    }
}

fn bars(out: &mut String, groups: &[Group], high: f64, all: &[&str]) -> fmt::Result {
    let wide = (WIDTH - LEFT) / groups.len().max(1) as f64;
    let names = once(groups.iter().flat_map(|(_, bars)| bars).map(|(name, _)| name.as_str()));
    let thick = wide * 0.8 / names.len().max(1) as f64;
    for (group, (name, bars)) in groups.iter().enumerate() {
        let start = LEFT + wide * (group as f64 + 0.1);
        for (bar, value) in bars.iter().filter(|(_, value)| value.is_finite()) {
            let place = names.iter().position(|name| name == bar).unwrap_or(0);
            let (x, y) = (start + thick * place as f64, height(*value, high));
            writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{}: {}</title></rect>",
                thick * 0.92,
                HEIGHT - BOTTOM - y,
                colour(all, bar),
                text(bar),
                short(*value)
            )?;
            if thick >= 24.0 {
                label(out, x + thick * 0.46, y - 3.0, "middle", &short(*value))?;
            }
        }
        label(out, start + wide * 0.4, HEIGHT - BOTTOM + 16.0, "middle", name)?;
    }
    Ok(())
}

fn lines(out: &mut String, along: &str, series: &[Series], high: f64, all: &[&str]) -> fmt::Result {
    let far = series.iter().flat_map(|(_, points)| points).map(|(x, _)| *x).filter(|x| x.is_finite());
    let far = step_above(far.fold(0.0, f64::max));
    let across = |x: f64| LEFT + (WIDTH - LEFT) * x / far;
    let steps = (far / step_of(far)).round() as u32;
    for step in 0..=steps {
        let value = f64::from(step) * step_of(far);
        let anchor = if step == steps { "end" } else { "middle" };
        label(out, across(value), HEIGHT - BOTTOM + 16.0, anchor, &short(value))?;
    }
    label(out, WIDTH, HEIGHT - BOTTOM + 32.0, "end", along)?;
    for (name, points) in series {
        let mut path = String::new();
        for (x, y) in points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            write!(path, "{:.1},{:.1} ", across(*x), height(*y, high))?;
        }
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"><title>{}</title></polyline>",
            path.trim_end(),
            colour(all, name),
            text(name)
        )?;
    }
    Ok(())
}

fn legend(out: &mut String, names: &[&str], all: &[&str]) -> fmt::Result {
    let mut x = LEFT;
    for name in names {
        let y = HEIGHT - 14.0;
        writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"11\" height=\"11\" fill=\"{}\"/>",
            colour(all, name)
        )?;
        label(out, x + 15.0, y + 10.0, "start", name)?;
        // About the width of a letter.
        x += 28.0 + 6.6 * name.chars().count() as f64;
    }
    Ok(())
}

fn label(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) -> fmt::Result {
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333\">{}</text>",
        text(words)
    )
}

fn colour(all: &[&str], name: &str) -> &'static str {
    COLOURS[all.iter().position(|other| *other == name).unwrap_or(0) % COLOURS.len()]
}

/// Each name once, in the order in which they come.
fn once<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

/// Where a value is from the top.
fn height(value: f64, high: f64) -> f64 {
    TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / high)
}

/// 1, 2 or 5 times a power of ten, so that the grid has at most [`STEPS`] lines.
fn step_of(high: f64) -> f64 {
    let power = 10_f64.powf((high / STEPS).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|times| times * power)
        .into_iter()
        .find(|step| high / step <= STEPS + 1e-9)
        .unwrap_or(high)
}

/// The end of an axis that has room for the value.
fn step_above(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let step = step_of(value);
    (value / step - 1e-9).ceil() * step
}

/// A number as short as it still says something.
fn short(number: f64) -> String {
    let decimals = match number.abs() {
        0.0 => 0,
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn text(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(figures: &[Figure]) -> String {
        Page { title: "a < b", date: "today", machine: &Machine::here(), figures }.to_string()
    }

    #[test]
    fn every_bar_is_drawn_and_what_is_no_number_is_left_out() {
        let bars = |value| vec![("nginx".to_owned(), 1.0), ("gateway".to_owned(), value)];
        let groups = vec![("1".to_owned(), bars(1.1)), ("16".to_owned(), bars(f64::NAN))];
        let page = page(&[Figure::new("ratio", "×", Shape::Bars(groups)).with_mark(1.0, "nginx")]);
        assert_eq!(page.matches("<rect").count(), 3 + 2, "three bars and two of the legend");
        assert!(page.contains("gateway: 1.1") && page.contains("a &lt; b") && !page.contains("NaN"));
    }

    #[test]
    fn shares_end_at_all_samples() {
        let figure = Figure::shares("starts", "ms", &[("ours", &[3.0, 1.0, 2.0, 4.0])]);
        let Shape::Lines { series, .. } = &figure.shape else { panic!("lines") };
        assert_eq!(series[0].1, [(1.0, 25.0), (2.0, 50.0), (3.0, 75.0), (4.0, 100.0)]);
        assert!(page(&[figure]).contains("<polyline"));
    }

    #[test]
    fn an_axis_ends_at_a_round_number_above_all_values() {
        assert_eq!([0.93, 1.26, 18.0, 100.0, 0.0].map(step_above), [1.0, 1.5, 20.0, 100.0, 1.0]);
        assert_eq!([0.95, 1.0, 12.34, 180_293.0, 0.034].map(short), ["0.95", "1", "12.3", "180293", "0.034"]);
    }
}
