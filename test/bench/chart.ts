// The ratios to Mosquitto as bars, for the page: one bar for each contest, and the line that Mosquitto is.
import type { Contest } from "./contest.ts";
import type { Sections } from "./report.ts";

const TITLE = "Messages a second, Tidegate over Mosquitto in the same minutes (fsync)";
const WIDTH = 820;
const LABEL = 400;
const ROW = 26;
const TOP = 46;
const BAR = 16;

type Bar = { readonly label: string; readonly ratio: number; readonly least: number; readonly most: number };

/** An SVG document [SVG 1.1]. */
export function drawChart(sections: Sections): string {
  const contests = [sections.direct, sections.tls, sections.backlog, sections.bridge].flatMap(
    (each) => each?.figures ?? [],
  );
  const bars = [...contests.flatMap(barOf), ...listenBars(sections)];
  const greatest = Math.max(2, ...bars.map(({ most }) => most));
  const scale = (WIDTH - LABEL - 70) / greatest;
  const height = TOP + bars.length * ROW + 16;
  const one = LABEL + scale;
  const rows = bars.flatMap(({ label, ratio, least, most }, index) => {
    const y = TOP + index * ROW;
    const middle = y + BAR / 2;
    const end = LABEL + ratio * scale;
    return [
      `<text x="${LABEL - 8}" y="${middle + 4}" text-anchor="end">${escapeText(label)}</text>`,
      `<rect x="${LABEL}" y="${y}" width="${round(ratio * scale)}" height="${BAR}" fill="#1f6f8b"/>`,
      `<path d="M${round(LABEL + least * scale)} ${middle}H${round(LABEL + most * scale)}" stroke="#0b2e3a"/>`,
      `<text x="${round(Math.max(end, LABEL + most * scale) + 6)}" y="${middle + 4}">${ratio.toFixed(2)}</text>`,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<title>${TITLE}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="20" font-size="14">${TITLE}</text>`,
    ...rows,
    `<path d="M${round(one)} ${TOP - 8}V${height - 10}" stroke="#b3261e" stroke-dasharray="4 3"/>`,
    `<text x="${round(one)}" y="${TOP - 12}" text-anchor="middle" fill="#b3261e">Mosquitto = 1</text>`,
    "</svg>",
    "",
  ].join("\n");
}

function barOf({ title, standings }: Contest): Bar[] {
  const own = standings.find(({ name }) => name === "tidegate, fsync");
  if (own === undefined || Number.isNaN(own.ratio.median)) return [];
  const { median, least, most } = own.ratio;
  return [{ label: title, ratio: median, least, most }];
}

function listenBars(sections: Sections): Bar[] {
  const own = (sections.listen?.figures ?? []).filter(({ server }) => server === "tidegate, fsync");
  return own.map(({ qos, ratio }) => {
    return {
      label: `Listening alone, 100 B, QoS ${qos}`,
      ratio: ratio.median,
      least: ratio.least,
      most: ratio.most,
    };
  });
}

const round = (value: number) => Number(value.toFixed(1));

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
