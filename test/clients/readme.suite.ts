import { describe, test } from 'bun:test'
import { dirname } from 'node:path'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import { TRIALS } from '../support/block-trials.ts'
import { blocksOf, readPages, runBlock } from '../support/documentation.ts'

/** The blocks of the documentation that need real clients, proxies or fail2ban. Needs root. `npm test` runs the others. */
describe('docs: with other programs, commands and configurations work as printed', () => {
  for (const [name, trial] of Object.entries(TRIALS)) {
    const { tools } = trial
    if (tools === undefined) continue
    test(`with ${tools.join(', ')}: ${name}`, async () => {
      const blocks = blocksOf(await readPages()).filter((block) => block.name === name)
      const folders = Object.values(await bringTools(tools)).map((path) => dirname(path))
      for (const block of blocks) await runBlock(block, trial, [...new Set(folders)])
    })
  }
})
