import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { findText, writeDurably } from '../storage/durable-file.ts'
import { TRUST_MARK, type TrustFile, type TrustStep } from './trust-steps.ts'

/** Where steps are done, and where they are reported. */
export interface TrustHost {
  /** `/`, or another folder. Commands run only for `/`. */
  root: string
  /** Called with one line for each action. */
  report: (line: string) => void
}

/**
 * Makes this host trust an authority: writes the files of each applicable step and runs its command.
 *
 * @throws Error when a file cannot be written, or a command fails
 */
export async function install(steps: TrustStep[], host: TrustHost): Promise<void> {
  for (const step of applying(steps, host.root)) {
    for (const file of step.files) await writeFile(file, host)
    if (step.commands?.install) await run(step.commands.install, host)
  }
}

/**
 * Undoes `install`. Files that others have changed stay.
 *
 * @throws Error when a file cannot be removed, or a command fails
 */
export async function uninstall(steps: TrustStep[], host: TrustHost): Promise<void> {
  for (const step of applying(steps, host.root)) {
    for (const file of step.files) await removeFile(file, host)
    if (step.commands) await run(step.commands.uninstall, host)
  }
}

/** Returns the steps that apply to a root folder. */
export function applying(steps: TrustStep[], root: string): TrustStep[] {
  return steps.filter(({ sign }) => sign === undefined || existsSync(join(root, sign)))
}

/** Returns the registries, as `host:port`, that a client on this host has a folder for. */
export async function knownRegistries(root: string): Promise<string[]> {
  const folders = ['/etc/docker/certs.d', '/etc/containers/certs.d', '/etc/containerd/certs.d']
  const found = await Promise.all(folders.map((folder) => readdir(join(root, folder)).catch(() => [])))
  return [...new Set(found.flat())]
}

async function writeFile({ path, text }: TrustFile, { root, report }: TrustHost): Promise<void> {
  const target = join(root, path)
  const present = await findText(target)
  if (present !== undefined && present !== text && !present.startsWith(TRUST_MARK)) {
    report(`kept ${target}: it was not written by cay`)
    return
  }
  try {
    await mkdir(dirname(target), { recursive: true, mode: 0o755 })
    await writeDurably(target, text, 0o644)
  } catch (error) {
    throw new Error(`cannot write ${target}: ${(error as Error).message}; run this command as root`)
  }
  report(`wrote ${target}`)
}

async function removeFile({ path, text }: TrustFile, { root, report }: TrustHost): Promise<void> {
  const target = join(root, path)
  if ((await findText(target)) !== text) return
  try {
    await rm(target)
  } catch (error) {
    throw new Error(`cannot remove ${target}: ${(error as Error).message}; run this command as root`)
  }
  report(`removed ${target}`)
  if (!path.includes('/certs.d/')) return
  await rmdir(dirname(target)).catch(ignore)
  await rmdir(dirname(dirname(target))).catch(ignore)
}

async function run(command: string[], { root, report }: TrustHost): Promise<void> {
  const line = command.join(' ')
  if (root !== '/') {
    report(`not run, because the root is ${root}: ${line}`)
    return
  }
  const child = Bun.spawn(command, { stdin: 'inherit', stdout: 'pipe', stderr: 'pipe' })
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`${line} failed with exit code ${code}: ${(errors || output).trim()}`)
  report(`ran ${line}`)
}

/** Ignores the error of a folder that is not empty. */
function ignore(): void {}
