import { LRUCache } from 'lru-cache'
import {
  type Action,
  type Identity,
  type Limit,
  NOBODY,
  type Permissions,
  type Role,
  type Rule,
} from '../access/access.ts'
import { inAny, type RepositorySet } from '../access/patterns.ts'
import type { Metadata } from '../database/metadata.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { subjectsOf } from './grant-store.ts'
import type { AccountRow, CredentialRow } from './store.ts'

/** What a role allows. */
export const ROLE_ACTIONS: Record<Role, ReadonlySet<Action>> = {
  reader: new Set<Action>(['pull']),
  writer: new Set<Action>(['pull', 'push']),
  admin: new Set<Action>(['pull', 'push', 'delete']),
}

/** The patterns that share a prefix of steps: components, `*` and `**`. Steps after `**` are stored last one first. */
interface Node {
  readonly children: Map<string, Node>
  /** The rule whose pattern ends here. */
  rule: Rule | undefined
}

/**
 * A tree of rules by the components of their patterns. A look-up or a change costs as much as the name is long, however
 * many rules there are. Each pattern has one role.
 */
export class Rules implements Permissions {
  private readonly root = newNode()
  /** For each pattern, the prefix that every matching name begins with. */
  private readonly starts = new SortedTexts()
  private count = 0

  constructor(rules: readonly Rule[] = []) {
    this.starts.addAll(rules.map(({ pattern }) => startOf(pattern)))
    for (const rule of rules) this.insert(rule)
  }

  get size(): number {
    return this.count
  }

  get isEmpty(): boolean {
    return this.count === 0
  }

  put(rule: Rule): void {
    if (this.insert(rule)) this.starts.add(startOf(rule.pattern))
  }

  remove(pattern: string): void {
    const path = [this.root]
    const steps = stepsOf(pattern)
    for (const step of steps) {
      const child = path.at(-1)?.children.get(step)
      if (child === undefined) return
      path.push(child)
    }
    const node = path.at(-1)
    if (node?.rule === undefined) return
    node.rule = undefined
    this.count--
    this.starts.remove(startOf(pattern))
    for (let at = steps.length; at > 0 && isBare(path[at]); at--) {
      path[at - 1]?.children.delete(steps[at - 1] ?? '')
    }
  }

  /** Returns the rules whose patterns match the name. */
  matching(name: RepositoryName): Rule[] {
    const found: Rule[] = []
    search(this.root, name.split('/'), (rule) => {
      found.push(rule)
      return false
    })
    return found
  }

  allows(action: Action, name: RepositoryName): boolean {
    if (this.count === 0) return false
    return search(this.root, name.split('/'), ({ role }) => ROLE_ACTIONS[role].has(action))
  }

  repositories(action: Action): RepositorySet {
    return { has: (name) => this.allows(action, name), seek: (from) => this.seek(from) }
  }

  /**
   * Implements RepositorySet.seek: `from` has the prefix of some pattern, or the next names begin at a later prefix.
   */
  private seek(from: string): string | undefined {
    return this.starts.hasStartOf(from) ? from : this.starts.after(from)
  }

  /** Adds a rule or changes its role. Returns whether the pattern is new. */
  private insert(rule: Rule): boolean {
    let node = this.root
    for (const step of stepsOf(rule.pattern)) {
      let child = node.children.get(step)
      if (child === undefined) {
        child = newNode()
        node.children.set(step, child)
      }
      node = child
    }
    const isNew = node.rule === undefined
    node.rule = rule
    if (isNew) this.count++
    return isNew
  }
}

/** Combines the rules of some subjects. They are looked up for each question, because they may change. */
function rulesOfAny(subjects: readonly string[], rulesOf: (subject: string) => Rules): Permissions {
  return {
    get isEmpty() {
      return subjects.every((subject) => rulesOf(subject).isEmpty)
    },
    allows(action, name) {
      for (const subject of subjects) if (rulesOf(subject).allows(action, name)) return true
      return false
    },
    repositories: (action) => inAny(subjects.map((subject) => rulesOf(subject).repositories(action))),
  }
}

/** Allows what either of two permissions allows. */
function eitherOf(first: Permissions, second: Permissions): Permissions {
  return {
    get isEmpty() {
      return first.isEmpty && second.isEmpty
    },
    allows: (action, name) => first.allows(action, name) || second.allows(action, name),
    repositories: (action) => inAny([first.repositories(action), second.repositories(action)]),
  }
}

/** Builds a tree of rules. Among rules with the same pattern the greater role wins. */
export function addUp(rules: readonly Rule[]): Rules {
  const made = new Map<string, Role>()
  for (const { pattern, role } of rules) {
    const before = made.get(pattern)
    if (before === undefined || ROLE_ACTIONS[role].size > ROLE_ACTIONS[before].size) made.set(pattern, role)
  }
  return new Rules(Array.from(made, ([pattern, role]) => ({ pattern, role })))
}

/** Calls `visit` with each matching rule until it returns true. */
function search(root: Node, components: readonly string[], visit: (rule: Rule) => boolean): boolean {
  const { length } = components
  const fromEnd = (node: Node | undefined, begun: number, taken: number): boolean => {
    // `**` matches at least one component.
    if (node === undefined || begun + taken >= length) return false
    if (node.rule !== undefined && visit(node.rule)) return true
    if (node.children.size === 0) return false
    return (
      fromEnd(node.children.get(components[length - 1 - taken] ?? ''), begun, taken + 1) ||
      fromEnd(node.children.get('*'), begun, taken + 1)
    )
  }
  const fromStart = (node: Node | undefined, taken: number): boolean => {
    if (node === undefined) return false
    if (taken === length) return node.rule !== undefined && visit(node.rule)
    if (node.children.size === 0) return false
    return (
      fromEnd(node.children.get('**'), taken, 0) ||
      fromStart(node.children.get(components[taken] ?? ''), taken + 1) ||
      fromStart(node.children.get('*'), taken + 1)
    )
  }
  return fromStart(root, 0)
}

/** Splits a pattern, which was validated when it was granted, into steps. */
function stepsOf(pattern: string): string[] {
  const components = pattern.split('/')
  const gap = components.indexOf('**') + 1
  return gap === 0 ? components : [...components.slice(0, gap), ...components.slice(gap).reverse()]
}

function newNode(): Node {
  return { children: new Map(), rule: undefined }
}

function isBare(node: Node | undefined): boolean {
  return node !== undefined && node.rule === undefined && node.children.size === 0
}

/** Returns the prefix of every matching name: the components before a wildcard, and a `/` if more follow. */
function startOf(pattern: string): string {
  const star = pattern.indexOf('*')
  return star < 0 ? pattern : pattern.slice(0, star)
}

/** A subject with more grants than this is loaded at startup and kept, because loading it would delay a request. */
const GRANTS_READ_MAX = 200

/** How many other subjects have their grants cached. */
const SUBJECTS_MAX = 10_000

/** The grants of each subject. They are loaded once and updated with each change of a grant. */
class GrantedRules {
  private readonly metadata: Metadata
  private readonly large: Map<string, Rules>
  private readonly others = new LRUCache<string, Rules>({ max: SUBJECTS_MAX })

  constructor(metadata: Metadata) {
    this.metadata = metadata
    const subjects = metadata.grants.subjectsWithMore(GRANTS_READ_MAX)
    this.large = new Map(subjects.map((subject) => [subject, this.read(subject)]))
    metadata.onStale('grants', ({ subject, rule, removed }) => {
      // Load it now, while it has few grants, so that a growing subject never has to be loaded by a request.
      const rules = this.of(subject)
      if (rule !== undefined) rules.put(rule)
      if (removed !== undefined) rules.remove(removed)
      if (rules.size > GRANTS_READ_MAX) this.large.set(subject, rules)
    })
  }

  /** Returns the grants of a subject, which is named as in the database. */
  of(subject: string): Rules {
    const known = this.large.get(subject) ?? this.others.get(subject)
    if (known !== undefined) return known
    const rules = this.read(subject)
    this.others.set(subject, rules)
    return rules
  }

  /** Drops the cached grants of the subjects that can be loaded again quickly. */
  releaseMemory(): void {
    this.others.clear()
  }

  private read(subject: string): Rules {
    return new Rules(this.metadata.grants.rulesOf(subject))
  }
}

/** A sorted list of texts in byte order, with duplicates. */
class SortedTexts {
  private readonly counts = new Map<string, number>()
  private sorted: string[] = []

  addAll(texts: readonly string[]): void {
    for (const text of texts) this.counts.set(text, (this.counts.get(text) ?? 0) + 1)
    this.sorted = Array.from(this.counts.keys()).sort()
  }

  add(text: string): void {
    const count = this.counts.get(text) ?? 0
    this.counts.set(text, count + 1)
    if (count === 0) this.sorted.splice(this.indexAfter(text), 0, text)
  }

  remove(text: string): void {
    const count = this.counts.get(text) ?? 0
    if (count > 1) this.counts.set(text, count - 1)
    else if (this.counts.delete(text)) this.sorted.splice(this.indexAfter(text) - 1, 1)
  }

  /** Returns the first text after the given one. */
  after(text: string): string | undefined {
    return this.sorted[this.indexAfter(text)]
  }

  /** Reports whether the list has the text, or a prefix of it that ends with `/` or at the end of a component. */
  hasStartOf(text: string): boolean {
    if (this.counts.size === 0) return false
    if (this.counts.has('') || this.counts.has(text)) return true
    for (let slash = text.indexOf('/'); slash >= 0; slash = text.indexOf('/', slash + 1)) {
      if (this.counts.has(text.slice(0, slash + 1))) return true
    }
    return false
  }

  /** Returns the index of the first text after the given one. */
  private indexAfter(text: string): number {
    let [low, high] = [0, this.sorted.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.sorted[middle] ?? '') <= text) low = middle + 1
      else high = middle
    }
    return low
  }
}

const REMEMBERED_MAX = 1000

/** Makes identities of accounts. They are cached until the account changes; grants are always read as of now. */
export class Identities {
  private readonly metadata: Metadata
  readonly granted: GrantedRules
  private readonly remembered = new LRUCache<string, Identity>({ max: REMEMBERED_MAX })
  private readonly nobody: Identity

  constructor(metadata: Metadata) {
    this.metadata = metadata
    this.granted = new GrantedRules(metadata)
    this.nobody = { ...NOBODY, granted: this.grantedTo(subjectsOf(undefined, [])) }
    metadata.onStale('accounts', ({ accounts }) => {
      const changed = new Set<number | undefined>(accounts)
      for (const [key, { accountId }] of this.remembered) {
        if (changed.has(accountId)) this.remembered.delete(key)
      }
    })
  }

  /** Returns the anonymous identity, with what is granted to `anonymous`. */
  anonymous(): Identity {
    return this.nobody
  }

  /** Returns an account's identity, or undefined when the account or its owner is deleted or disabled. */
  find(accountId: number, credential?: CredentialRow): Identity | undefined {
    const row = this.metadata.accounts.findById(accountId)
    if (row === undefined || !this.isActive(row)) return undefined
    const key = `${accountId} ${credential?.id}`
    const known = this.remembered.get(key)
    if (known) return known
    const made: Identity = {
      ...NOBODY,
      account: row.name,
      accountId,
      credential: credential?.id,
      isAdmin: row.isAdmin,
      granted: this.permissionsOf(row),
      limits: [...this.limitOfOwner(row), ...limitOfScope(credential)],
    }
    this.remembered.set(key, made)
    return made
  }

  /** Drops cached identities and grants. They are read again when needed. */
  releaseMemory(): void {
    this.remembered.clear()
    this.granted.releaseMemory()
  }

  private isActive(row: AccountRow): boolean {
    if (row.disabledAt !== null) return false
    if (row.ownerId === null) return true
    const owner = this.metadata.accounts.findById(row.ownerId)
    return owner !== undefined && owner.disabledAt === null
  }

  /** Returns the permissions of an account and its groups. A user has full access to their own namespace. */
  private permissionsOf(row: AccountRow): Permissions {
    const granted = this.grantedTo(subjectsOf(row.id, this.metadata.accounts.groupsOf(row.id)))
    if (row.kind !== 'user') return granted
    return eitherOf(new Rules([{ pattern: `${row.name}/**`, role: 'admin' }]), granted)
  }

  private grantedTo(subjects: string[]): Permissions {
    return rulesOfAny(subjects, (subject) => this.granted.of(subject))
  }

  /** Limits a robot to what its owner may do. */
  private limitOfOwner({ ownerId }: AccountRow): Limit[] {
    const owner = ownerId === null ? undefined : this.metadata.accounts.findById(ownerId)
    if (owner === undefined || owner.isAdmin) return []
    return [{ of: `its owner ${owner.name}`, permissions: this.permissionsOf(owner) }]
  }
}

function limitOfScope(credential: CredentialRow | undefined): Limit[] {
  if (credential === undefined || credential.scope === null) return []
  return [{ of: "its token's scope", permissions: addUp(JSON.parse(credential.scope) as Rule[]) }]
}
