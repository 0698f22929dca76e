import { expect, test } from 'bun:test'
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { PasswordFile } from '../../src/accounts/passwords.ts'

test('password file: a file that an earlier start left readable by others is replaced by a private one', async () => {
  await using folder = await temporaryFolder('password')
  const path = join(folder.path, 'initial-admin-password')
  writeFileSync(path, 'a longer password of before\n')
  chmodSync(path, 0o644)
  const file = new PasswordFile(folder.path)
  expect(file.write('secret')).toBe(path)
  expect(await Bun.file(path).text()).toBe('secret\n')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  file.removeFor('alice')
  expect(existsSync(path)).toBe(true)
  file.removeFor('admin')
  expect(existsSync(path)).toBe(false)
})
