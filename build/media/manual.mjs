// The offline manual: each page of docs/ as HTML and as a manual page, and the programs' own help as manual pages of section 8.
// pandoc reads the Markdown; links between pages follow them into the manual.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { giveUp, ROOT } from "../bootstrap.mjs";
import { AGENTS } from "../build.mjs";
import { run } from "./run.mjs";

const CONTENT = join(ROOT, "build/media/content");
/** Pages for those who build Tidegate, not for those who run it. */
const NOT_FOR_OPERATORS = new Set(["dependencies", "simulator"]);

export function writeManual(tree, stamp) {
  const pages = readdirSync(join(ROOT, "docs"))
    .filter((file) => file.endsWith(".md"))
    .map((file) => file.slice(0, -3))
    .filter((page) => !NOT_FOR_OPERATORS.has(page))
    .sort();
  for (const folder of ["manual", "man"]) mkdirSync(join(tree, folder));
  for (const file of readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".svg")))
    copyFileSync(join(ROOT, "docs", file), join(tree, "manual", file));
  for (const page of pages) {
    const text = readFileSync(join(ROOT, `docs/${page}.md`), "utf8");
    const title = text.match(/^# (.+)$/m)?.[1] ?? page;
    writeFileSync(join(tree, `manual/${page}.html`), makeHtml(text, title, pages));
    const section = page === "configuration" ? 5 : 7;
    const man = makeMan(text, `TIDEGATE-${page.toUpperCase()}`, section, stamp);
    writeFileSync(join(tree, `man/tidegate-${page}.${section}`), man);
  }
  const index = ["# Tidegate manual", "", ...pages.map((page) => `- [${titleOf(page)}](${page}.md)`)].join(
    "\n",
  );
  writeFileSync(join(tree, "manual/index.html"), makeHtml(index, "Tidegate manual", pages));
  for (const agent of AGENTS) {
    const man = makeMan(describeProgram(agent), `TIDEGATE-${agent.toUpperCase()}`, 8, stamp);
    writeFileSync(join(tree, `man/tidegate-${agent}.8`), man);
  }
}

function titleOf(page) {
  return readFileSync(join(ROOT, `docs/${page}.md`), "utf8").match(/^# (.+)$/m)?.[1] ?? page;
}

function makeHtml(text, title, pages) {
  const head = join(CONTENT, "manual-head.html");
  const args = [
    "--from=gfm",
    "--to=html5",
    "--standalone",
    "--toc",
    "--toc-depth=2",
    "--include-in-header",
    head,
  ];
  const html = run("pandoc", [...args, "--metadata", `pagetitle=${title}`], { input: text });
  // Pages that the manual does not have stay readable as names.
  return html.replace(/href="(?:docs\/)?([a-z-]+)\.md(#[^"]*)?"/g, (whole, page, part) =>
    pages.includes(page) ? `href="${page}.html${part ?? ""}"` : whole,
  );
}

function makeMan(text, name, section, stamp) {
  const { STAMPED_VERSION: version, STAMPED_DATE: date } = stamp;
  const metadata = [
    `title=${name}`,
    `section=${section}`,
    `footer=Tidegate ${version}`,
    `date=${date.slice(0, 10)}`,
  ];
  const args = ["--from=gfm", "--to=man", "--standalone", "--shift-heading-level-by=0"];
  return run("pandoc", [...args, ...metadata.flatMap((pair) => ["--metadata", pair])], { input: text });
}

// The programs that were just built for this machine speak for themselves.
function describeProgram(agent) {
  const name = `tidegate-${agent}`;
  const ask = (...args) => {
    const done = spawnSync(join(ROOT, `dist/${name}`), args, { encoding: "utf8" });
    if (done.status !== 0) giveUp(`cannot make the manual: ${name} ${args.join(" ")} failed: ${done.stderr}`);
    return done.stdout.trimEnd();
  };
  const help = ask("--help");
  const commands = [...help.matchAll(/^ {2}([a-z][a-z-]+) {2,}/gm)].map((match) => match[1]);
  const parts = [`# NAME\n\n${name} - ${help.split("\n")[0]}`, `# HELP\n\n${fence(help)}`];
  for (const command of commands) parts.push(`## ${command}\n\n${fence(ask(command, "--help"))}`);
  parts.push(
    "# EXIT STATUS\n\n0 fine, 1 failed while running, 2 bad arguments, 78 bad configuration: starting again will not help.",
    `# FILES\n\n/etc/tidegate/${agent}.toml, /var/lib/tidegate/${agent}`,
    "# SEE ALSO\n\ntidegate-start(7), tidegate-install(7), tidegate-operating(7), tidegate-configuration(5), tidegate-security(7)",
  );
  return parts.join("\n\n");
}

function fence(text) {
  return `\`\`\`\n${text}\n\`\`\``;
}
