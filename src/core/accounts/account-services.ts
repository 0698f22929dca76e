import type { Auth } from '../../auth/auth.ts'
import type { PasswordFile } from '../../auth/password-file.ts'
import type { Config } from '../../config/config-schema.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { type Audit, audit } from './audit.ts'
import { type Grants, grants } from './grants.ts'
import { type Groups, groups } from './groups.ts'
import { refuseStrangers } from './open-access.ts'
import { type RegistryTokens, registryTokens } from './registry-tokens.ts'
import { type Robots, robots } from './robots.ts'
import { type Sessions, sessions } from './sessions.ts'
import { type SigningKeys, signingKeys } from './signing-keys.ts'
import { type Tokens, tokens } from './tokens.ts'
import { type Users, users } from './users.ts'

/** The services for accounts: which exist, how they sign in, and what they may do. One instance per data folder. */
export interface AccountServices {
  users: Users
  robots: Robots
  groups: Groups
  grants: Grants
  tokens: Tokens
  sessions: Sessions
  registryTokens: RegistryTokens
  signingKeys: SigningKeys
  audit: Audit
}

export interface AccountOptions {
  metadata: Metadata
  config: Config
  auth: Auth
  /** The file with the first account's password, which is removed when the password changes. */
  passwordFile: PasswordFile
  /** Milliseconds since 1970. */
  now: () => number
}

export function accountServices({
  config,
  auth,
  now,
  passwordFile,
  ...options
}: AccountOptions): AccountServices {
  const metadata = auth.access.isOpen ? refuseStrangers(options.metadata) : options.metadata
  return {
    users: users({ metadata, auth, passwordFile }),
    robots: robots(metadata),
    groups: groups(metadata),
    grants: grants({ metadata, access: auth.access, identities: auth.identities, settings: config.grants }),
    tokens: tokens(metadata),
    sessions: sessions({ metadata, authenticator: auth.authenticator }),
    registryTokens: registryTokens({
      metadata,
      access: auth.access,
      tokens: auth.tokens,
      noteUse: () => auth.authenticator.noteUse(),
      now,
    }),
    signingKeys: signingKeys(metadata),
    audit: audit(options.metadata, auth.notices),
  }
}
