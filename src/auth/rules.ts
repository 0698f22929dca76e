import type { Action, Permissions } from '../domain/access/access.ts'
import type { Role, Rule } from '../domain/access/rule.ts'
import { inAny, type RepositorySet } from '../domain/repository-set.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { SortedTexts } from './sorted-texts.ts'

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

/** Allows what either of two permissions allows. */
export function eitherOf(first: Permissions, second: Permissions): Permissions {
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
