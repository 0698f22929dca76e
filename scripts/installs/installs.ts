import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildImage } from '../image.ts'
import { CaseReport } from '../lib/cases.ts'
import { compileReleased } from '../packaging/executables.ts'
import { platforms } from '../packaging/platform.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { arm64 } from './arm64.ts'
import { docker, podman } from './containers.ts'
import { deployments } from './deployments.ts'
import { image } from './image.ts'
import { release } from './release.ts'
import { packages, service } from './service.ts'
import type { Trial } from './trial.ts'
import { upgrade } from './upgrade.ts'

const trials: Trial[] = [image, podman, docker, arm64, service, packages, deployments, release, upgrade]

/** `installs [name...]`: installs cay in every way that the README describes, and uses it there. Needs root. */
export async function run(names: string[]): Promise<void> {
  const chosen = trials.filter(({ name }) => names.length === 0 || names.includes(name))
  const report = new CaseReport()
  // Users without privileges read the image, and podman takes only names without capitals.
  const folder = join(tmpdir(), `cay-installs-${process.pid}`)
  await mkdir(folder)
  try {
    await compileReleased(platforms.map(({ executable }) => executable))
    const layout = await buildImage(join(folder, 'layout'))
    for (const { name, tools, cases } of chosen) {
      await report.prepare(name, () => bringTools(tools))
      for (const [title, work] of Object.entries(cases)) {
        const own = join(folder, 'case')
        await mkdir(own)
        await report.try(name, title, () => work({ folder: own, layout }))
        await rm(own, { recursive: true, force: true })
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  report.end(undefined)
}
