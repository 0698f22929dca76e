import { type AdminClient, ONLY_NEW } from '../remote/admin-client.ts'

/** Adds a user for each line NAME:HASH of an htpasswd file, and returns the names. Throws at the first refused one. */
export async function importUsers(client: AdminClient, file: string): Promise<{ items: string[] }> {
  const users = parseHtpasswd(await Bun.file(file).text())
  for (const { name, passwordHash } of users) {
    await client.request('PUT', `/users/${encodeURIComponent(name)}`, { passwordHash }, ONLY_NEW)
  }
  return { items: users.map(({ name }) => name) }
}

/** Parses an htpasswd file. Throws an Error with the number of the first invalid line. */
export function parseHtpasswd(text: string): { name: string; passwordHash: string }[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return []
    const [name = '', passwordHash = ''] = line.split(':')
    if (name !== '' && passwordHash !== '') return [{ name, passwordHash: passwordHash.trim() }]
    throw new Error(`line ${index + 1} of the htpasswd file is not NAME:HASH`)
  })
}
