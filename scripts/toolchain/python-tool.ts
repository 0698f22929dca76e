import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { cacheFolder } from './go-tool.ts'

const installSecondsMax = 600

/** A command of a Python distribution of PyPI, which gets a virtual environment of its own in the cache. */
export interface PythonTool {
  distribution: string
  version: string
  /** An optional part of the distribution. */
  extra?: string
}

/**
 * Installs a tool if it is missing, and returns the path of its command.
 * @throws CommandError with the output of pip, if it cannot be installed.
 */
export async function bringPythonTool({ distribution, version, extra }: PythonTool): Promise<string> {
  const folder = join(cacheFolder(), `${distribution}-${version}`)
  const path = join(folder, 'bin', distribution)
  const complete = join(folder, 'complete')
  if (existsSync(complete)) return path
  console.error(`installing ${distribution} ${version}`)
  await rm(folder, { recursive: true, force: true })
  await mkdir(cacheFolder(), { recursive: true })
  // The files of an environment contain its path, so it cannot be moved into place when it is complete.
  await runCommand(['python3', '-m', 'venv', folder], { secondsMax: installSecondsMax })
  const pip = [join(folder, 'bin', 'pip'), 'install', '--quiet', '--no-input', '--disable-pip-version-check']
  await runCommand([...pip, `${distribution}${extra ? `[${extra}]` : ''}==${version}`], {
    secondsMax: installSecondsMax,
  })
  await Bun.write(`${complete}.new`, '')
  await rename(`${complete}.new`, complete)
  return path
}
