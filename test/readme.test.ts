import { beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { build } from '../scripts/build.ts'
import { TRIALS } from './support/block-trials.ts'
import { blocksOf, readPages, runBlock } from './support/documentation.ts'

const pages = await readPages()
const blocks = blocksOf(pages)

beforeAll(async () => {
  await build()
}, 60_000)

test('docs: each code block is run, or says why it is not', () => {
  expect(blocks.length).toBeGreaterThan(15)
  const names = blocks.map(({ name }) => name)
  expect(Object.keys(TRIALS).filter((name) => !names.includes(name))).toEqual([])
  const unknown = blocks.filter(
    ({ language, name }) => !(/^(sh|console|toml)$/.test(language) || TRIALS[name]),
  )
  expect(unknown).toEqual([])
})

test('docs: README.md is short', () => {
  expect(pages[0]!.text.split('\n').length - 1).toBeLessThanOrEqual(250)
})

test('docs: every link has a target, and docs/README.md links to every page', () => {
  const links = pages.flatMap(({ path, text }) =>
    [...prose(text).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].map(([, to = '', anchor]) => ({
      from: path,
      to: to === '' ? path : posix.join(posix.dirname(path), to),
      anchor,
    })),
  )
  const anchors = new Map(pages.map(({ path, text }) => [path, anchorsOf(text)]))
  const hasTarget = ({ to, anchor }: (typeof links)[number]) =>
    existsSync(join(import.meta.dir, '..', to)) && (anchor === undefined || anchors.get(to)?.includes(anchor))
  expect(links.filter((link) => !hasTarget(link))).toEqual([])
  const listed = links.filter(({ from }) => from === 'docs/README.md').map(({ to }) => to)
  expect(
    pages.map(({ path }) => path).filter((path) => path !== 'docs/README.md' && !listed.includes(path)),
  ).toEqual([])
})

describe('docs: commands run and settings are accepted as printed', () => {
  for (const block of blocks) {
    const trial = TRIALS[block.name] ?? {}
    if (trial.untried !== undefined || trial.tools !== undefined) continue
    test.concurrent(`${block.page}: ${block.name}`, () => runBlock(block, trial), 120_000)
  }
})

/** Returns a page without its code. */
function prose(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '')
}

/** Returns the anchors of a page's headings, as GitHub makes them. */
function anchorsOf(text: string): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-'),
  )
}
