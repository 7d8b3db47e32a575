// Where each key of a TOML file stands. The value parser gives no positions, so a second parser's syntax tree
// supplies them. Refuses nothing: what is not in the file is located at the nearest table that is.

import { type AST, parseTOML } from "toml-eslint-parser";
import type { KeyPath } from "./key-path.ts";

/** Both count from 1. */
export type Position = { readonly line: number; readonly column: number };

/** The position of a key (of a table: of its header), or of the nearest table around it; else of the first line. */
export type Locate = (path: KeyPath) => Position;

type Place = { position: Position; readonly children: Map<string | number, Place> };

const START: Position = { line: 1, column: 1 };
const NESTING_MAX = 32;

/** Throws what the syntax tree parser throws; the caller turns that into a fault. */
export function createLocator(text: string): Locate {
  const root: Place = { position: START, children: new Map() };
  for (const node of parseTOML(text, { tomlVersion: "1.0" }).body[0].body) {
    if (node.type === "TOMLKeyValue") addKeyValue(root, node, 0);
    else addTable(root, node);
  }
  return (path) => findPlace(root, path).position;
}

function addTable(root: Place, table: AST.TOMLTable): void {
  const header = toPosition(table.loc.start);
  let place = root;
  for (const part of table.resolvedKey) place = openChild(place, part, header);
  // A table may be named by a child's header before its own: its own is the better place to point to.
  place.position = header;
  for (const keyValue of table.body) addKeyValue(place, keyValue, 0);
}

function addKeyValue(parent: Place, node: AST.TOMLKeyValue, depth: number): void {
  let place = parent;
  for (const key of node.key.keys) {
    place = openChild(place, key.type === "TOMLBare" ? key.name : key.value, toPosition(key.loc.start));
  }
  addValue(place, node.value, depth);
}

function addValue(place: Place, value: AST.TOMLContentNode, depth: number): void {
  if (depth >= NESTING_MAX) return;
  if (value.type === "TOMLInlineTable") {
    for (const node of value.body) addKeyValue(place, node, depth + 1);
  } else if (value.type === "TOMLArray") {
    for (const [index, element] of value.elements.entries()) {
      addValue(openChild(place, index, toPosition(element.loc.start)), element, depth + 1);
    }
  }
}

function openChild(parent: Place, key: string | number, position: Position): Place {
  const known = parent.children.get(key);
  if (known !== undefined) return known;
  const child: Place = { position, children: new Map() };
  parent.children.set(key, child);
  return child;
}

function findPlace(root: Place, path: KeyPath): Place {
  let place = root;
  for (const part of path) {
    const child = place.children.get(part);
    if (child === undefined) return place;
    place = child;
  }
  return place;
}

function toPosition(start: { readonly line: number; readonly column: number }): Position {
  return { line: start.line, column: start.column + 1 };
}
