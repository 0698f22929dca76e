import { equal } from 'node:assert/strict'
import { join } from 'node:path'
import { version } from '../../package.json'
import { runCommand } from '../lib/command.ts'
import { sha256 } from '../lib/image.ts'
import { bringTools, type ToolName } from '../toolchain/toolchain.ts'

/** One way to install cay, with the cases that try it. */
export interface Trial {
  name: string
  tools: ToolName[]
  cases: Record<string, (context: TrialContext) => Promise<void>>
}

/** What a case can use. */
export interface TrialContext {
  /** An empty folder, which is removed after the case. */
  folder: string
  /** The container image, an OCI image layout. */
  layout: string
}

/** The image in its layout, as skopeo and oras name it. */
export function imageIn(layout: string): string {
  return `${layout}:${version}`
}

/** Returns the digest of the index of the image. */
export async function indexDigest(layout: string): Promise<string> {
  const { manifests } = await Bun.file(join(layout, 'index.json')).json()
  return manifests[0].digest
}

/** What is needed to push to a cay. */
export interface Target {
  /** `host:port` */
  address: string
  password: string
  /** Words before the command, for example to run it in another network. */
  prefix?: string[]
}

/** Pushes cay's own image with all its platforms, and expects to get the same bytes back. */
export async function pushOwnImage(
  layout: string,
  { address, password, prefix = [] }: Target,
): Promise<void> {
  const { skopeo = '' } = await bringTools(['skopeo'])
  const name = `docker://${address}/cay/cay:${version}`
  const credentials = `admin:${password}`
  const push = ['copy', '--quiet', '--all', '--dest-tls-verify=false', '--dest-creds', credentials]
  await runCommand([...prefix, skopeo, ...push, `oci:${imageIn(layout)}`, name])
  const inspect = ['inspect', '--raw', '--tls-verify=false', '--creds', credentials]
  const pulled = await runCommand([...prefix, skopeo, ...inspect, name])
  equal(sha256(Buffer.from(pulled)), await indexDigest(layout))
}

/** Expects a log without the password, which says how to show it. */
export function expectNoSecret(log: string, password: string): void {
  equal(log.includes(password), false, 'the log contains the password')
  equal(log.includes('cay initial-password'), true, `the log does not say how to show the password:\n${log}`)
}
