import { useAnswer } from './resource.ts'
import { caller } from './session.ts'

type Action = 'pull' | 'push' | 'delete'

/** Returns what the caller may do in a repository. The server decides each time; this only hides what it would refuse. */
export function useRights(repository: string): ReadonlySet<Action> {
  const { admin = false, account } = caller.value ?? {}
  const asks = !admin && account !== undefined
  const found = useAnswer('access', asks && { query: { repository, account } })
  if (admin) return new Set(['pull', 'push', 'delete'])
  return new Set(found.data?.actions ?? ['pull'])
}
