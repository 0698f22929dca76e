import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Action, Role, Rule } from '../../src/access/access.ts'
import {
  inAll,
  inAny,
  matchesPattern,
  parseRepositoryPattern,
  type RepositorySet,
} from '../../src/access/patterns.ts'
import { addUp, ROLE_ACTIONS, Rules } from '../../src/accounts/rules.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseRepositoryName, type RepositoryName } from '../../src/oci/reference.ts'
import { open } from '../support/writes.ts'

const COMPONENTS = ['a', 'b', 'a-b', 'a.b', 'a0', 'ab']
const one = COMPONENTS
const two = one.flatMap((first) => one.map((second) => `${first}/${second}`))
const NAMES = [
  ...one,
  ...two,
  ...two.flatMap((start) => one.map((end) => `${start}/${end}`)),
  'a/b/a/b',
  'a/a/a/b/a',
]
  .map(parseRepositoryName)
  .sort()

const resources = new AsyncDisposableStack()
let metadata: Metadata

beforeAll(async () => {
  const folder = resources.use(await temporaryFolder('patterns'))
  metadata = await open(folder.path)
  resources.defer(() => metadata.close())
  using db = new Database(join(folder.path, 'cay.db'))
  db.run(`insert into repository (name, created_at) values ${NAMES.map((name) => `('${name}', 0)`).join()}`)
})
afterAll(() => resources.disposeAsync())

const component = fc.constantFrom('*', ...COMPONENTS)
const pattern = fc
  .tuple(fc.array(component, { maxLength: 3 }), fc.boolean(), fc.array(component, { maxLength: 2 }))
  .map(([before, any, after]) => [...before, ...(any ? ['**'] : []), ...after].join('/'))
  .filter((text) => text !== '')

const rule = fc.record({
  pattern,
  role: fc.constantFrom<Role>('reader', 'writer', 'admin'),
})
const matches = (rules: readonly Rule[], action: Action, name: RepositoryName) =>
  rules.some(
    (one) => ROLE_ACTIONS[one.role].has(action) && matchesPattern(parseRepositoryPattern(one.pattern), name),
  )

/** Returns all pages of a list. */
function listed(set: RepositorySet, limit: number): string[] {
  const found: string[] = []
  for (let last: string | undefined = ''; last !== undefined; ) {
    const part = metadata.repositories.list(set, last, limit)
    expect(part.rows.length).toBeLessThanOrEqual(limit)
    found.push(...part.rows.map(({ name }) => name))
    last = part.next
  }
  return found
}

test('rules: a list has exactly the repositories in which a rule allows the action', () => {
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 6 }),
      fc.constantFrom<Action>('pull', 'delete'),
      (rules, action) => {
        const compiled = addUp(rules)
        const expected = NAMES.filter((name) => matches(rules, action, name))
        expect(listed(compiled.repositories(action), 7)).toEqual(expected)
        expect(NAMES.filter((name) => compiled.allows(action, name))).toEqual(expected)
      },
    ),
  )
})

test('rules: adding or removing a rule has the same effect as loading all rules again', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(rule, fc.boolean()), { maxLength: 12 }), (changes) => {
      const compiled = new Rules()
      const kept = new Map<string, Rule>()
      for (const [one, isPut] of changes) {
        if (isPut) compiled.put(one)
        else compiled.remove(one.pattern)
        if (isPut) kept.set(one.pattern, one)
        else kept.delete(one.pattern)
      }
      const expected = NAMES.filter((name) => matches([...kept.values()], 'pull', name))
      expect(listed(compiled.repositories('pull'), 100)).toEqual(expected)
      expect(compiled.size).toBe(kept.size)
    }),
  )
})

test('rules: sets can be combined to their union and their intersection', () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 4 }), fc.array(rule, { maxLength: 4 }), (first, second) => {
      const sets = [addUp(first), addUp(second)].map((rules) => rules.repositories('pull'))
      const [inFirst, inSecond] = [first, second].map((rules) =>
        NAMES.map((name) => matches(rules, 'pull', name)),
      )
      expect(listed(inAny(sets), 5)).toEqual(NAMES.filter((_, at) => inFirst?.[at] || inSecond?.[at]))
      expect(listed(inAll(sets), 5)).toEqual(NAMES.filter((_, at) => inFirst?.[at] && inSecond?.[at]))
    }),
  )
})
