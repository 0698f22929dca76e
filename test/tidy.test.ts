import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { tools } from '../scripts/toolchain/toolchain.ts'
import { parseSource } from './support/source-file.ts'
import { importRules } from './support/tidy-imports.ts'
import { leftoverRules, shapeRules } from './support/tidy-rules.ts'

const root = join(import.meta.dir, '..')
const rules = [...importRules, ...shapeRules, ...leftoverRules]
const paths = [...new Bun.Glob('{src,scripts,test,drizzle}/**/*.{ts,tsx}').scanSync(root)].sort()
const files = await Promise.all(paths.map(async (path) => parseSource(path, await read(path))))

describe.each(rules)('$name', (rule) => {
  test('in every file', () => {
    expect(files.flatMap((file) => rule.faults(file).map((fault) => `${file.path}: ${fault}`))).toEqual([])
  })

  test.each(rule.bad)('and fails where it is not kept: %s %j', (path, text) => {
    expect(rule.faults(parseSource(path, text))).not.toEqual([])
  })
})

test('each file that a README of src/ names exists', () => {
  const pages = [...new Bun.Glob('src/**/README.md').scanSync(root)]
  const missing = pages.flatMap((page) => {
    const named = readFileSync(join(root, page), 'utf8').matchAll(/`([a-z0-9/-]+\.tsx?)`/g)
    const isHere = (name: string) =>
      paths.some((path) => [join(dirname(page), name), join('src', name), name].includes(path)) ||
      (!name.includes('/') && page === 'src/README.md' && paths.some((path) => path.endsWith(`/${name}`)))
    return [...named].flatMap(([, name = '']) => (isHere(name) ? [] : [`${page}: ${name}`]))
  })
  expect(pages.length).toBeGreaterThan(10)
  expect(missing).toEqual([])
})

test('bun.lock names no registry, so that it works with any', async () => {
  expect(await read('bun.lock')).not.toMatch(/https?:\/\//)
})

test('npm and Bun install the same version of Bun', async () => {
  const { scripts, devDependencies } = JSON.parse(await read('package.json'))
  const bun = `npx --yes --ignore-scripts=false --allow-scripts=bun bun@${devDependencies.bun}`
  for (const [name, script] of Object.entries(scripts)) expect(script).toBe(`${bun} scripts/main.ts ${name}`)
})

test('docs/clients.md lists the version of each client that is built', async () => {
  const { conformance, registry, kubeconform, ...clients } = tools
  const versions = Object.values(clients).flatMap((tool) => ('module' in tool ? tool.version.slice(1) : []))
  const page = await read('docs/clients.md')
  expect(versions.filter((version) => !page.includes(version))).toEqual([])
})

function read(path: string): Promise<string> {
  return Bun.file(join(root, path)).text()
}
