import { dirname } from 'node:path'
import { CaseReport } from '../lib/cases.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { readBlocks, titleOf } from './blocks.ts'
import { runBlock } from './sandbox.ts'
import { treatmentOf } from './treatments.ts'

/** `readme`: tries the blocks of the documentation that need other programs. `bun run test` tries the others. Needs root. */
export async function run(): Promise<void> {
  const report = new CaseReport()
  for (const block of await readBlocks()) {
    const treatment = treatmentOf(block)
    if (treatment?.by !== 'clients') continue
    await report.try('readme', titleOf(block), async () => {
      const tools = await bringTools(treatment.tools)
      const folders = Object.values(tools).map((path) => dirname(path))
      await runBlock(block, treatment, [...new Set(folders)])
    })
  }
  report.end(undefined)
}
