import type { Action, Permissions } from '../domain/access.ts'
import { inAny, type RepositorySet } from '../domain/repository-set.ts'
import type { Role, Rule } from '../domain/rule.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { SortedTexts } from './sorted-texts.ts'

/** What a role allows. */
export const ROLE_ACTIONS: Record<Role, ReadonlySet<Action>> = {
  reader: new Set<Action>(['pull']),
  writer: new Set<Action>(['pull', 'push']),
  admin: new Set<Action>(['pull', 'push', 'delete']),
}

/** The patterns that begin with the same steps: components, `*` and `**`; behind `**` from the last component on. */
interface Node {
  readonly children: Map<string, Node>
  /** The rule whose pattern ends here. */
  rule: Rule | undefined
}

/**
 * Rules as a tree by the components of their patterns: a question costs as much as the name is long, however many rules
 * there are, and so does a change. A pattern has one role.
 */
export class Rules implements Permissions {
  private readonly root = newNode()
  /** Where the names begin that a pattern can match. */
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

  /** The rules whose patterns match the name. */
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

  /** Names that a pattern can match begin with its start. So `from` is among them, or they begin at a later start. */
  private seek(from: string): string | undefined {
    return this.starts.hasStartOf(from) ? from : this.starts.after(from)
  }

  /** Whether the pattern is a new one. */
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

/** What any of the rules of some subjects allows. They are asked for anew with each question, for they may have changed. */
export function rulesOfAny(subjects: readonly string[], rulesOf: (subject: string) => Rules): Permissions {
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

/** What either of two allows. */
export function eitherOf(first: Permissions, second: Permissions): Permissions {
  return {
    get isEmpty() {
      return first.isEmpty && second.isEmpty
    },
    allows: (action, name) => first.allows(action, name) || second.allows(action, name),
    repositories: (action) => inAny([first.repositories(action), second.repositories(action)]),
  }
}

/** Rules of which some have the same pattern: the greater role counts. */
export function addUp(rules: readonly Rule[]): Rules {
  const made = new Map<string, Role>()
  for (const { pattern, role } of rules) {
    const before = made.get(pattern)
    if (before === undefined || ROLE_ACTIONS[role].size > ROLE_ACTIONS[before].size) made.set(pattern, role)
  }
  return new Rules(Array.from(made, ([pattern, role]) => ({ pattern, role })))
}

/** Calls `visit` with each rule that matches the components, until it answers true. */
function search(root: Node, components: readonly string[], visit: (rule: Rule) => boolean): boolean {
  const { length } = components
  const fromEnd = (node: Node | undefined, begun: number, taken: number): boolean => {
    // `**` stands for at least one component.
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

/** The steps of a pattern, which was parsed when it was given. */
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

/** What every name begins with that a pattern matches: its components before a wildcard, and a `/` if more follow. */
function startOf(pattern: string): string {
  const star = pattern.indexOf('*')
  return star < 0 ? pattern : pattern.slice(0, star)
}
