import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { description, version } from '../../package.json'
import { runCommand } from '../lib/command.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { tarOf } from './tar.ts'

const chartFolder = join(import.meta.dir, 'chart')

/**
 * Writes what runs the image: the Helm chart, plain manifests for Kubernetes that are made from it, lines for Compose, and a
 * Quadlet for podman. Returns the path of the chart.
 */
export async function writeDeployments(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  for (const name of ['compose.yaml', 'cay.container']) {
    const text = await Bun.file(join(import.meta.dir, name)).text()
    await Bun.write(join(folder, name), text.replace('VERSION', version))
  }
  const chart = join(folder, `cay-${version}.tgz`)
  const files = await chartFiles()
  await Bun.write(chart, Bun.gzipSync(Buffer.from(await tarOf(files, 0))))
  const monitor = ['--set', 'serviceMonitor.enabled=true', '--show-only', 'templates/servicemonitor.yaml']
  const manifests = await template(chart, 'admin.existingSecret=cay-admin')
  await Bun.write(join(folder, 'kubernetes.yaml'), manifests)
  await Bun.write(join(folder, 'servicemonitor.yaml'), await template(chart, 'image.tag=', ...monitor))
  return chart
}

async function chartFiles() {
  const metadata = {
    apiVersion: 'v2',
    name: 'cay',
    description,
    type: 'application',
    version,
    appVersion: version,
  }
  const files = [{ path: 'cay/Chart.yaml', body: Bun.YAML.stringify(metadata, undefined, 2) }]
  for await (const path of new Bun.Glob('**').scan(chartFolder)) {
    files.push({ path: `cay/${path}`, body: await Bun.file(join(chartFolder, path)).text() })
  }
  return files
}

/** Renders the chart as a release with the name cay. */
async function template(chart: string, set: string, ...more: string[]): Promise<string> {
  const { helm4 = '' } = await bringTools(['helm4'])
  await using home = await temporaryFolder('helm')
  const env = { PATH: process.env.PATH, HOME: home.path }
  return await runCommand([helm4, 'template', 'cay', chart, '--set', set, ...more], { env })
}
