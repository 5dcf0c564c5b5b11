//! The tools of libtiff read our files without a word of complaint, and say the same of the pixels.

use std::{path::Path, process::Command};

use super::*;

/// Runs a tool: its standard output; any word on standard error fails the test.
pub(super) fn run(tool: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{tool} {arguments:?}: {complaint}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn pages_to_check() -> Vec<(Chart, Resolution)> {
    let charts = charts::all(1728, 200).into_iter().map(|(_, chart)| chart);
    charts
        .zip(
            [
                Resolution::Standard,
                Resolution::Fine,
                Resolution::Superfine,
            ]
            .into_iter()
            .cycle(),
        )
        .collect()
}

pub(super) fn write(directory: &Path, name: &str, pages: &[(Chart, Resolution)]) {
    std::fs::write(directory.join(name), file(pages)).unwrap();
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn tiffinfo_reads_every_page_without_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let pages = pages_to_check();
    write(directory.path(), "a.tif", &pages);
    let text = run("tiffinfo", &["-D", "a.tif"], directory.path());
    assert_eq!(
        text.matches("Compression Scheme: CCITT Group 4").count(),
        pages.len()
    );
    assert_eq!(
        text.matches("Subfile Type: multi-page document (2 = 0x2)")
            .count(),
        pages.len()
    );
    assert!(
        text.contains(&format!("Page Number: 1-{}", pages.len())),
        "{text}"
    );
    assert!(text.contains("Resolution: 204, 391 pixels/inch"), "{text}");
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn tiffcp_reads_the_same_pixels() {
    for width in [1728, 2048, 2432] {
        let directory = tempfile::tempdir().unwrap();
        let pages: Vec<_> = charts::all(width, 200)
            .into_iter()
            .map(|(_, chart)| (chart, Resolution::Fine))
            .collect();
        write(directory.path(), "a.tif", &pages);
        let expected: Vec<_> = pages.iter().map(|(chart, _)| chart.rows.clone()).collect();
        run(
            "tiffcp",
            &["-c", "none", "a.tif", "none.tif"],
            directory.path(),
        );
        run(
            "tiffcp",
            &[
                "-c", "g4", "-f", "lsb2msb", "-B", "-r", "33", "none.tif", "big.tif",
            ],
            directory.path(),
        );
        for name in ["none.tif", "big.tif"] {
            let data = std::fs::read(directory.path().join(name)).unwrap();
            assert!(read_all(&data).unwrap() == expected, "{name} {width}");
        }
    }
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn libtiff_codes_each_page_into_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let pages = pages_to_check();
    write(directory.path(), "a.tif", &pages);
    run(
        "tiffcp",
        &["-c", "none", "a.tif", "none.tif"],
        directory.path(),
    );
    run(
        "tiffcp",
        &["-c", "g4", "-r", "200", "none.tif", "g4.tif"],
        directory.path(),
    );
    let mut theirs = open(&std::fs::read(directory.path().join("g4.tif")).unwrap()).unwrap();
    for (index, (chart, _)) in pages.iter().enumerate() {
        let page = theirs.page(index as u32).unwrap();
        assert_eq!(page.strips.len(), 1);
        assert!(
            theirs.read_strip(page.strips[0]).unwrap() == encode(chart),
            "page {index}"
        );
    }
}

/// A file of ours with every chart in each coding of G3, aligned and not.
fn g3_file(width: u32, coding: FaxCoding, aligned: bool, charts: &[(&str, Chart)]) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()))
        .unwrap()
        .with_width(width)
        .unwrap();
    for (_, chart) in charts {
        let page = NewPage::new(chart.rows.len() as u32, Resolution::Fine)
            .with_coding(coding)
            .with_aligned_end_of_lines(aligned)
            .with_quality(PageQuality::new(1, 1));
        writer
            .add_coded_page(&page, &encode_as(chart, coding, aligned))
            .unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// libtiff 4.5 writes a one-dimensional row that starts black and changes at every pixel, and
/// cannot read it back: such rows have no place in what it is to read.
fn readable_charts(width: u32) -> Vec<(&'static str, Chart)> {
    let mut charts = charts::all(width, 200);
    charts.retain(|(name, _)| !["checkers", "columns"].contains(name));
    charts
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn tiffinfo_and_tiffcp_read_our_mh_and_mr() {
    for width in [1728, 2048, 2432] {
        let charts = readable_charts(width);
        for (coding, options) in [(FaxCoding::Mh, 0), (FaxCoding::Mr, 1)] {
            for aligned in [false, true] {
                let directory = tempfile::tempdir().unwrap();
                let data = g3_file(width, coding, aligned, &charts);
                std::fs::write(directory.path().join("a.tif"), data).unwrap();
                let text = run("tiffinfo", &["-D", "a.tif"], directory.path());
                let count = |part: &str| text.matches(part).count();
                assert_eq!(count("Compression Scheme: CCITT Group 3"), charts.len());
                assert_eq!(count("2-d encoding"), charts.len() * options, "{text}");
                assert_eq!(
                    count("EOL padding"),
                    if aligned { charts.len() } else { 0 },
                    "{text}"
                );
                assert_eq!(count("\n  Bad Fax Lines: 1"), charts.len());
                run(
                    "tiffcp",
                    &["-c", "none", "a.tif", "none.tif"],
                    directory.path(),
                );
                let none = std::fs::read(directory.path().join("none.tif")).unwrap();
                for ((name, chart), rows) in charts.iter().zip(read_all(&none).unwrap()) {
                    assert!(rows == chart.rows, "{name} {width} {coding:?} {aligned}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn libtiff_codes_mh_and_mr_into_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let charts = charts::all(1728, 200);
    std::fs::write(
        directory.path().join("a.tif"),
        g3_file(1728, FaxCoding::T6, false, &charts),
    )
    .unwrap();
    for (form, coding, aligned) in [
        ("g3:1d", FaxCoding::Mh, false),
        ("g3:1d:fill", FaxCoding::Mh, true),
        ("g3:2d", FaxCoding::Mr, false),
        ("g3:2d:fill", FaxCoding::Mr, true),
    ] {
        run(
            "tiffcp",
            &["-c", form, "-r", "200", "a.tif", "g3.tif"],
            directory.path(),
        );
        let mut theirs = open(&std::fs::read(directory.path().join("g3.tif")).unwrap()).unwrap();
        for (index, (name, chart)) in charts.iter().enumerate() {
            let page = theirs.page(index as u32).unwrap();
            assert_eq!(page.strips.len(), 1);
            assert_eq!(page.coding(), Some(coding));
            let theirs = theirs.read_strip(page.strips[0]).unwrap();
            let ours = encode_as(chart, coding, aligned);
            assert!(
                theirs == ours,
                "{name} {form}: {} and {} bytes",
                theirs.len(),
                ours.len()
            );
        }
    }
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn tiffcp_reads_rows_without_end_of_line_codes_and_both_bit_orders() {
    // tiffcp does not write this compression.
    for lsb_first in [false, true] {
        for (name, chart) in readable_charts(1728) {
            let directory = tempfile::tempdir().unwrap();
            let form = Form {
                lsb_first,
                rows_per_strip: 60,
                ..Form::new(Some(T4Coding::MhAligned))
            };
            std::fs::write(directory.path().join("a.tif"), form.file(&chart)).unwrap();
            let copy = ["-c", "none", "a.tif", "none.tif"];
            run("tiffcp", &copy, directory.path());
            let none = std::fs::read(directory.path().join("none.tif")).unwrap();
            assert!(
                read_all(&none).unwrap() == [chart.rows],
                "{name} {lsb_first}"
            );
        }
    }
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn tiff2pdf_takes_written_and_copied_pages() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "a.tif", &three_pages());
    run(
        "tiffcp",
        &[
            "-c", "g3:2d", "-r", "50", "-f", "lsb2msb", "a.tif", "g3.tif",
        ],
        directory.path(),
    );
    let mut g3 = open(&std::fs::read(directory.path().join("g3.tif")).unwrap()).unwrap();
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.copy_pages(&mut g3, 0..3, PageNumbers::Keep).unwrap();
    std::fs::write(
        directory.path().join("copy.tif"),
        writer.finish().unwrap().into_inner(),
    )
    .unwrap();
    for name in ["a.tif", "copy.tif"] {
        run("tiffinfo", &["-D", name], directory.path());
        run("tiff2pdf", &["-o", "a.pdf", name], directory.path());
        assert!(directory.path().join("a.pdf").metadata().unwrap().len() > 1000);
    }
    // G3 pages that were copied without decoding have the pixels of the original.
    run(
        "tiffcp",
        &["-c", "g4", "copy.tif", "g4.tif"],
        directory.path(),
    );
    let expected: Vec<_> = three_pages()
        .into_iter()
        .map(|(chart, _)| chart.rows)
        .collect();
    assert!(
        read_all(&std::fs::read(directory.path().join("g4.tif")).unwrap()).unwrap() == expected
    );
}

#[test]
#[ignore = "needs libtiff-tools: apt-get install libtiff-tools"]
fn fax2tiff_reads_our_rows_and_we_read_its_class_f() {
    let directory = tempfile::tempdir().unwrap();
    for (name, chart) in readable_charts(1728) {
        for (t4, option) in [(T4Coding::Mh, "-1"), (T4Coding::Mr, "-2")] {
            // It takes the return-to-control code for rows, so that it gets none.
            let mut encoder = T4Encoder::new(1728, t4).unwrap();
            for row in &chart.rows {
                encoder.encode_row(row).unwrap();
            }
            std::fs::write(directory.path().join("page.g3"), encoder.finish()).unwrap();
            run(
                "fax2tiff",
                &["-3", option, "-M", "-W", "-6", "-o", "page.tif", "page.g3"],
                directory.path(),
            );
            let page = std::fs::read(directory.path().join("page.tif")).unwrap();
            assert!(
                read_all(&page).unwrap() == [chart.rows.clone()],
                "{name} {t4:?}"
            );
        }
    }
}
