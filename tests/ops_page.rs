//! `docs/ops.md` says what the devices do: for each operation and element type of the suite, two
//! of its cases are run here and must be served as the page says, for every device of this machine
//! that the page has a column for (the CPU at least).

use std::collections::BTreeMap;

use unisono::DeviceSummary;
use unisono_conformance::report::{OpTable, device_title};
use unisono_conformance::{Case, CaseClass, Host, Kernels, Level, Options, Report, run, suite};

const PAGE: &str = include_str!("../docs/ops.md");

/// The page's table: operation and element type to the verdict of each column.
struct Page {
    devices: Vec<String>,
    rows: BTreeMap<(String, String), Vec<String>>,
}

impl Page {
    fn read() -> Page {
        let cells = |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>();
        let mut lines = PAGE.lines().skip_while(|l| !l.starts_with("| operation |"));
        let devices = cells(lines.next().expect("the page has a table of operations"))[2..].to_vec();
        let rows = lines.skip(1).take_while(|l| l.starts_with('|')).map(|line| {
            let cells = cells(line);
            let verdict = |c: &String| c.split(' ').next().unwrap_or_default().to_owned();
            ((cells[0].clone(), cells[1].clone()), cells[2..].iter().map(verdict).collect())
        });
        Page { devices, rows: rows.collect() }
    }

    /// The column of a device: the CPU by its kind, an adapter by its name and API.
    fn column(&self, summary: &DeviceSummary) -> Option<usize> {
        let name = summary.name.split(" (").next().unwrap_or_default();
        let start = if summary.api == "cpu" { "CPU:".to_owned() } else { format!("{name}, {}", summary.api) };
        self.devices.iter().position(|d| d.starts_with(&start))
    }
}

/// The two smallest counted cases of each operation and element type.
fn samples() -> BTreeMap<(String, String), Vec<Case>> {
    let mut cells: BTreeMap<_, Vec<Case>> = BTreeMap::new();
    for case in suite(Level::Full).into_iter().filter(|c| c.class == CaseClass::Counted) {
        cells.entry((case.family.to_owned(), case.dtype.name().to_owned())).or_default().push(case);
    }
    let size = |c: &Case| c.desc.inputs.iter().chain(&c.desc.outputs).map(unisono::TensorDesc::elements).sum::<usize>();
    for cases in cells.values_mut() {
        cases.sort_by_key(|c| (c.desc.outputs[0].is_empty(), size(c)));
        cases.truncate(2);
    }
    cells
}

/// Whether what two of the cases have shown agrees with the verdict over all of them.
fn agrees(page: &str, seen: &str) -> bool {
    page == seen || (page == "mixed" && matches!(seen, "native" | "composed")) || page == "unsupported"
}

#[test]
fn the_page_of_operations_is_current() {
    let page = Page::read();
    let samples = samples();
    // Programs are no operation: they are in the results, not among the cases.
    let listed: Vec<_> = page.rows.keys().filter(|(family, _)| family != "program").collect();
    let missing: Vec<_> = samples.keys().filter(|key| !page.rows.contains_key(key)).collect();
    let stale: Vec<_> = listed.into_iter().filter(|key| !samples.contains_key(key)).collect();
    assert!(missing.is_empty() && stale.is_empty(), "docs/ops.md lacks {missing:?} and still has {stale:?}");

    let mut checked = 0;
    for summary in unisono::devices() {
        let Some(column) = page.column(&summary) else {
            println!("{}, {}: the page has no column for it", summary.name, summary.api);
            continue;
        };
        let device = summary.open().expect("a listed device opens");
        let mut options = Options::new(Level::Full);
        options.patterns = samples.values().flatten().map(|c| c.id.clone()).collect();
        (options.kernels, options.repeats) = (Kernels::Selected, 1);
        let report = run(&**device.backend(), &options, &mut |_| {});
        let failures: Vec<_> = report.failures().map(|f| format!("{}: {}", f.id, f.detail)).collect();
        assert!(failures.is_empty(), "{}: {failures:#?}", summary.name);
        let title = device_title(&report.device);
        let table = OpTable::new(&[Report::new(Level::Full, Host::from_target(), vec![report])]);
        let mut wrong = Vec::new();
        for row in &table.rows {
            let told = &page.rows[&(row.family.clone(), row.dtype.clone())][column];
            let seen = row.cells[0].as_ref().expect("one device").verdict();
            if !agrees(told, seen) {
                wrong.push(format!("{} {}: the page says {told:?}, it is {seen}", row.family, row.dtype));
            }
        }
        assert!(wrong.is_empty(), "docs/ops.md on {title}: {wrong:#?}");
        checked += usize::from(summary.api == "cpu" || !table.rows.is_empty());
    }
    assert!(checked > 0, "the page has no column for any device of this machine");
}
