//! The two plots of the page, as inline SVG: the roofline in logarithmic axes, and bars of the share
//! of the ceiling that each row reaches.

use unisono_conformance::report::page::escape;

use super::{DeviceBench, Row};
use crate::roofline::Bound;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 48.0;

/// An axis in powers of ten.
struct Log {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    /// From the decade below the smallest of `values` to the one above the largest.
    fn over(values: &[f64], from: f64, to: f64) -> Log {
        let positive = values.iter().copied().filter(|v| *v > 0.0 && v.is_finite());
        let (low, high) = positive.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low < high { (low, high) } else { (0.1, 10.0) };
        Log { low: low.log10().floor(), high: (high * 1.05).log10().ceil(), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = i32> {
        self.low as i32..=self.high as i32
    }
}

fn power(decade: i32) -> String {
    match decade {
        -3..=3 => format!("{}", 10f64.powi(decade)),
        _ => format!("1e{decade}"),
    }
}

/// The roofline of a device: its rows over their arithmetic intensity, under bandwidth and peak.
/// Empty where nothing can be drawn.
pub(super) fn roofline(device: &DeviceBench) -> String {
    let drawn: Vec<(&Row, f64, f64)> = device
        .rows
        .iter()
        .filter(|r| r.selected && r.flops > 0 && r.bytes > 0)
        .filter_map(|r| Some((r, r.flops as f64 / r.bytes as f64, r.figures.as_ref()?.rate / 1e9)))
        .collect();
    let bandwidth = device.ceilings.bandwidth("read", u64::MAX).map(|b| b / 1e9);
    let peak = device.ceilings.best("fma_f32").map(|p| p / 1e9);
    if drawn.is_empty() {
        return String::new();
    }
    let mut intensities: Vec<f64> = drawn.iter().map(|d| d.1).collect();
    let mut rates: Vec<f64> = drawn.iter().map(|d| d.2).collect();
    intensities.extend(bandwidth.zip(peak).map(|(b, p)| p / b));
    rates.extend(peak);
    let x = Log::over(&intensities, LEFT, WIDTH - RIGHT);
    let y = Log::over(&rates, HEIGHT - BOTTOM, TOP);
    let mut svg = start(WIDTH, HEIGHT, "Roofline");
    for decade in x.decades() {
        let at = x.at(10f64.powi(decade));
        svg +=
            &format!("<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{:.1}\"/>", HEIGHT - BOTTOM);
        svg += &text(at, HEIGHT - BOTTOM + 18.0, "middle", &power(decade));
    }
    for decade in y.decades() {
        let at = y.at(10f64.powi(decade));
        svg +=
            &format!("<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/>", WIDTH - RIGHT);
        svg += &text(LEFT - 6.0, at + 4.0, "end", &power(decade));
    }
    let (left, right) = (10f64.powf(x.low), 10f64.powf(x.high));
    if let (Some(bandwidth), Some(peak)) = (bandwidth, peak) {
        let ridge = (peak / bandwidth).clamp(left, right);
        let points =
            [(left, bandwidth * left), (ridge, peak.min(bandwidth * ridge)), (right, peak.min(bandwidth * right))];
        let points: Vec<String> = points.iter().map(|(i, r)| format!("{:.1},{:.1}", x.at(*i), y.at(*r))).collect();
        svg += &format!("<polyline class=\"roof\" points=\"{}\"/>", points.join(" "));
        let at = y.at(peak);
        svg += &text(WIDTH - RIGHT - 4.0, at - 6.0, "end", &format!("f32 peak {peak:.0} GFLOP/s"));
        let label = format!("memory {bandwidth:.1} GB/s");
        svg += &text(x.at(left) + 8.0, y.at(bandwidth * left) - 8.0, "start", &label);
    }
    for (row, intensity, rate) in &drawn {
        let class = row.figures.as_ref().and_then(|f| f.bound).map_or("none", Bound::name);
        svg += &format!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{}: {rate:.2} GFLOP/s at {intensity:.2} FLOP/byte</title></circle>",
            x.at(*intensity),
            y.at(*rate),
            escape(&row.id),
        );
    }
    svg += &text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0, "middle", "arithmetic intensity, FLOP per byte");
    svg += &format!(
        "<text transform=\"translate(16,{:.1}) rotate(-90)\" text-anchor=\"middle\">GFLOP/s</text>",
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    svg + "</svg>"
}

/// A bar for each row that has a share, grouped as the rows come; a line at 100%.
pub(super) fn bars(device: &DeviceBench) -> String {
    let shares: Vec<(&Row, f64, Bound)> = device
        .rows
        .iter()
        .filter(|r| r.selected)
        .filter_map(|r| {
            let f = r.figures.as_ref()?;
            Some((r, f.share?, f.bound?))
        })
        .collect();
    if shares.is_empty() {
        return String::new();
    }
    let (label, line) = (330.0, 18.0);
    let height = TOP + line * shares.len() as f64 + 24.0;
    let full = WIDTH - RIGHT - 44.0 - label;
    let most = shares.iter().map(|s| s.1).fold(1.0, f64::max).min(1.5);
    let scale = |share: f64| share.min(most) / most * full;
    let mut svg = start(WIDTH, height, "Share of the ceiling");
    for (i, (row, share, bound)) in shares.iter().enumerate() {
        let y = TOP + line * i as f64;
        let name = row.id.split(':').next().unwrap_or(&row.id);
        svg += &text(label - 6.0, y + 12.0, "end", &escape(&format!("{name} {}", row.dtype)));
        svg += &format!(
            "<rect class=\"{}\" x=\"{label}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            bound.name(),
            y + 2.0,
            scale(*share).max(1.0),
            line - 4.0,
            escape(&row.id),
        );
        svg += &text(label + scale(*share) + 4.0, y + 12.0, "start", &format!("{:.0}%", 100.0 * share));
    }
    let at = label + scale(1.0);
    let end = TOP + line * shares.len() as f64;
    svg += &format!("<line class=\"roof\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{end:.1}\"/>");
    svg += &text(at, end + 14.0, "middle", "100%");
    svg + "</svg>"
}

fn start(width: f64, height: f64, title: &str) -> String {
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>")
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, row};

    #[test]
    fn points_lie_under_the_roof() {
        let report = report(vec![row("a", vec![1e-3; 3]), row("b", vec![2e-4; 3])]);
        let svg = roofline(&report.devices[0]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("f32 peak 200 GFLOP/s") && svg.contains("memory 20.0 GB/s"));
        // 8 MFLOP in 0.2 ms are 40 GFLOP/s at 3.3 FLOP per byte: under 67.
        let heights = |class: &str| -> Vec<f64> {
            let parts = svg.split("<circle").skip(1).filter(|p| p.contains(class));
            parts.filter_map(|p| p.split("cy=\"").nth(1)?.split('"').next()?.parse().ok()).collect()
        };
        let y = heights("memory");
        assert!(y[0] > y[1], "the slower one is lower: {y:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn a_log_axis_is_even_in_decades() {
        let axis = Log::over(&[0.02, 50.0], 0.0, 400.0);
        assert_eq!((axis.at(0.01), axis.at(100.0), axis.at(1.0)), (0.0, 400.0, 200.0));
        assert_eq!(bars(&report(Vec::new()).devices[0]), "");
        assert!(bars(&report(vec![row("a", vec![1.0; 3])]).devices[0]).contains("80%"));
    }
}
