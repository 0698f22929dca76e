import { beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { build } from '../scripts/build.ts'
import { temporaryFolder } from '../scripts/lib/temporary-folder.ts'
import { type Block, readBlocks, titleOf } from '../scripts/readme/blocks.ts'
import { runBlock } from '../scripts/readme/sandbox.ts'
import { type Treatment, treatmentOf } from '../scripts/readme/treatments.ts'
import { runCay } from './support/run-cay.ts'

const blocks = await readBlocks()
const titled = blocks.map((block): [title: string, Block, Treatment | undefined] => [
  titleOf(block),
  block,
  treatmentOf(block),
])

beforeAll(async () => {
  await build()
}, 60_000)

test('readme: each code block is run, or scripts/readme/treatments.ts says why it is not', () => {
  expect(blocks.length).toBeGreaterThan(15)
  expect(titled.flatMap(([title, , treatment]) => (treatment === undefined ? [title] : []))).toEqual([])
})

test('readme: the index names each section, and every link into the page has a target', async () => {
  const page = await Bun.file(join(import.meta.dir, '../README.md')).text()
  const anchors = (level: RegExp) =>
    [...page.matchAll(level)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    )
  const links = [...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor)
  const sections = anchors(/^## (.+)$/gm).filter((anchor) => anchor !== 'contents')
  expect(sections.filter((anchor) => !links.includes(anchor))).toEqual([])
  expect(links.filter((anchor = '') => !anchors(/^#+ (.+)$/gm).includes(anchor))).toEqual([])
})

describe('readme: commands run as printed', () => {
  for (const [title, block, treatment] of titled) {
    if (treatment?.by === 'shell') {
      test.concurrent(title, async () => void (await runBlock(block, treatment)), 120_000)
    }
  }
})

describe('readme: settings are accepted', () => {
  for (const [title, { text }, treatment] of titled) {
    if (treatment?.by !== 'config') continue
    test(title, async () => {
      await using folder = await temporaryFolder('readme')
      const path = join(folder.path, 'cay.toml')
      // Files that a block names exist where it is used, so they exist here, too.
      await Bun.write(path, text.replaceAll('/etc/cay/', `${folder.path}/`))
      for (const [, name = ''] of text.matchAll(/"\/etc\/cay\/([^"]+)"/g)) {
        await Bun.write(join(folder.path, name), 'secret\n')
      }
      const { code, errors } = await runCay(['config', '--config', path, '--data', folder.path])
      expect([code, errors]).toEqual([0, ''])
    })
  }
})
