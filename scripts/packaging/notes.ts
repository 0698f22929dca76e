import { version } from '../../package.json'
import { runCommand } from '../lib/command.ts'

/** Returns what changed since the last release, by area, from the subjects of commits (`area: change`). */
export async function releaseNotes(): Promise<string> {
  const last = Bun.spawnSync(['git', 'describe', '--tags', '--abbrev=0', '--match=v*'], { stderr: 'ignore' })
  const since = last.success ? [`${last.stdout.toString().trim()}..HEAD`] : []
  const log = await runCommand(['git', 'log', '--reverse', '--format=%s', ...since], { cwd: import.meta.dir })
  const areas = new Map<string, string[]>()
  for (const subject of log.trim().split('\n')) {
    const [, area = 'other', change = subject] = /^([a-z0-9 ,/.-]+): (.*)$/.exec(subject) ?? []
    areas.set(area, [...(areas.get(area) ?? []), `- ${change}`])
  }
  const sections = [...areas].sort().map(([area, changes]) => `## ${area}\n\n${changes.join('\n')}\n`)
  return [`# cay ${version}\n`, ...sections].join('\n')
}
