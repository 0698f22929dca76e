import { t } from 'elysia'
import { operation, type Route } from '../http/operation.ts'
import {
  AccountName,
  integer,
  Name,
  oneOf,
  type PageQuery,
  Password,
  Pattern,
  pageOf,
  pageParameters,
  RepositoryParam,
  RobotName,
  RoleName,
  RuleModel,
  Time,
  time,
} from '../http/schemas.ts'

const UserModel = t.Object(
  {
    name: Name,
    admin: t.Boolean({ description: 'Whether it is a server admin' }),
    disabled: t.Boolean(),
    createdAt: Time,
  },
  { description: 'A user' },
)

const CurrentPassword = t.Optional(
  t.String({
    maxLength: 72,
    description: 'The current password; required to change your own password with a token or a session',
  }),
)

export const NewUser = t.Object({
  currentPassword: CurrentPassword,
  password: t.Optional(Password),
  passwordHash: t.Optional(
    t.String({ maxLength: 60, description: 'A bcrypt hash, as in htpasswd, instead of the password' }),
  ),
  admin: t.Optional(t.Boolean()),
})

export const UserChange = t.Object({
  currentPassword: CurrentPassword,
  password: t.Optional(Password),
  admin: t.Optional(t.Boolean()),
  disabled: t.Optional(t.Boolean()),
})

/** The operations on users. */
export const USER_OPERATIONS = {
  list: operation('listUsers', 'admin', 'List users', { answer: pageOf(UserModel, 'Users') }),
  get: operation('getUser', 'self', 'Show a user', { answer: UserModel, etag: true, errors: ['NOT_FOUND'] }),
  add: operation('putUser', 'admin', 'Create a user, or replace its password and role', {
    answer: UserModel,
    creates: 'unless-it-exists',
    etag: true,
    errors: ['CONFLICT'],
  }),
  change: operation('updateUser', 'self', 'Change a user', {
    description: 'Users may change their own password; everything else needs a server admin.',
    answer: UserModel,
    etag: true,
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
  unlock: operation('unlockUser', 'admin', 'Unlock a user after too many failed logins', {
    errors: ['NOT_FOUND'],
  }),
  remove: operation('deleteUser', 'admin', 'Delete a user with its robots, tokens and grants', {
    etag: true,
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
}

const RobotModel = t.Object(
  { name: RobotName, disabled: t.Boolean(), createdAt: Time },
  { description: 'A robot' },
)

/** The operations on robots. */
export const ROBOT_OPERATIONS = {
  list: operation('listRobots', 'account', 'List robots: all for server admins, otherwise your own', {
    answer: pageOf(RobotModel, 'Robots'),
  }),
  get: operation('getRobot', 'self', 'Show a robot', {
    answer: RobotModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation('putRobot', 'self', 'Create a robot', {
    answer: RobotModel,
    creates: 'unless-it-exists',
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  change: operation('updateRobot', 'self', 'Disable or enable a robot', {
    answer: RobotModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  remove: operation('deleteRobot', 'self', 'Delete a robot with its tokens and grants', {
    etag: true,
    errors: ['NOT_FOUND'],
  }),
}

const GroupModel = t.Object({ name: Name, members: t.Array(AccountName) }, { description: 'A group' })

/** The operations on groups. */
export const GROUP_OPERATIONS = {
  list: operation('listGroups', 'admin', 'List groups', {
    answer: pageOf(t.Object({ name: Name }), 'Groups'),
  }),
  get: operation('getGroup', 'admin', 'Show a group', {
    answer: GroupModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation('putGroup', 'admin', 'Create a group', {
    answer: GroupModel,
    creates: 'unless-it-exists',
    etag: true,
  }),
  change: operation('updateGroup', 'admin', 'Add and remove members', {
    answer: GroupModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  remove: operation('deleteGroup', 'admin', 'Delete a group and its grants', {
    etag: true,
    errors: ['NOT_FOUND'],
  }),
}

const added = t.Optional(t.Array(AccountName, { maxItems: 100, example: ['alice'] }))

const removed = t.Optional(t.Array(AccountName, { maxItems: 100 }))

const CallerModel = t.Object(
  {
    account: t.Optional(AccountName),
    admin: t.Boolean({ description: 'Whether the caller may do everything' }),
    openAccess: t.Boolean({
      description: 'Whether nobody needs to authenticate: the setting access is open',
    }),
    catalogAccess: t.Boolean({ description: 'Whether the caller may list repositories' }),
    session: t.Optional(
      t.Object({
        expiresAt: Time,
        csrfToken: t.String({ description: 'Send it in the x-csrf-token header of each change' }),
      }),
    ),
  },
  { description: 'The caller. Without a valid session or credential, an anonymous one' },
)

const SubjectName = t.String({
  maxLength: 140,
  description: '"anonymous", "authenticated", "group:NAME", or the name of a user or robot',
  example: 'group:team',
})

const GrantModel = t.Object(
  { subject: SubjectName, pattern: Pattern, role: RoleName, createdAt: Time },
  { description: 'A grant' },
)

const IN_OWN_NAMESPACE = 'Users may change grants in their own namespace; elsewhere only server admins may.'

const TO_WHOM =
  'Only server admins may grant to anonymous and authenticated, unless grants.public-by-admins-only is false. To hide ' +
  'which accounts exist, a grant to an unknown account or group is accepted and listed, but has no effect.'

const Actions = t.Array(oneOf(['pull', 'push', 'delete']))

const Explained = t.Object(
  {
    actions: Actions,
    disabled: t.Boolean({ description: 'Whether the account or its owner is disabled' }),
    reasons: t.Array(
      t.Object({
        source: oneOf(
          ['open', 'server-admin', 'own-namespace', 'account', 'group', 'authenticated', 'anonymous'],
          'The source of the permission: the subject of a grant, or the status of the account',
        ),
        subject: t.Optional(t.String({ description: 'The subject of the grant', example: 'group:team' })),
        pattern: t.Optional(Pattern),
        role: t.Optional(RoleName),
        actions: Actions,
      }),
      { description: 'The permissions of the account, which add up' },
    ),
    limits: t.Array(
      t.Object({
        source: oneOf(['owner', 'credential']),
        name: t.String({ description: "The owner's name, or the token's id", example: 'alice' }),
        actions: Actions,
      }),
      { description: 'Limits, all of which must allow the action' },
    ),
  },
  { description: 'What the account may do in the repository, and why' },
)

export const Question = t.Object({
  account: t.Optional(AccountName),
  repository: RepositoryParam,
  credentialId: t.Optional(t.String({ maxLength: 64, description: 'The id of a token of the account' })),
})

export const RobotChangeBody = t.Object({ disabled: t.Boolean() })

export const GroupChangeBody = t.Object({ add: added, remove: removed })

export const GET_CALLER = operation('getCaller', 'anybody', 'Show who you are', { answer: CallerModel })

export const DELETE_GRANT = operation('deleteGrant', 'account', 'Delete a grant', {
  description: IN_OWN_NAMESPACE,
  errors: ['NOT_FOUND'],
})

export const DeleteGrantQuery = t.Object({ subject: SubjectName, pattern: Pattern })

export const PUT_GRANT = operation(
  'putGrant',
  'account',
  'Grant a role on the repositories that match a pattern',
  {
    description: `${IN_OWN_NAMESPACE} ${TO_WHOM}`,
    answer: GrantModel,
    creates: 'unless-it-exists',
    location: ({ subject, pattern }) => `?${new URLSearchParams({ subject, pattern })}`,
    errors: ['NOT_FOUND', 'NAME_INVALID', 'CONFLICT'],
  },
)

export const PutGrantBody = t.Object({ subject: SubjectName, pattern: Pattern, role: RoleName })

export const LIST_GRANTS = operation(
  'listGrants',
  'account',
  'List grants: all for server admins, otherwise those in your own namespace',
  { answer: pageOf(GrantModel, 'Grants') },
)

export const ListGrantsQuery = t.Object({
  ...pageParameters,
  subject: t.Optional({
    ...SubjectName,
    description: `Only grants to this subject: ${SubjectName.description}`,
  }),
  pattern: t.Optional({ ...Pattern, description: 'Only grants on exactly this pattern' }),
})

export const EXPLAIN_ACCESS = operation(
  'explainAccess',
  'account',
  'Show what an account may do in a repository, and why',
  {
    description:
      'Without an account, shows what anonymous callers may do; this needs permission to delete in the repository. Only ' +
      'server admins may ask about accounts other than their own and their robots.',
    answer: Explained,
    errors: ['NOT_FOUND', 'NAME_INVALID'],
  },
)

const SessionModel = t.Object(
  {
    account: Name,
    admin: t.Boolean({ description: 'Whether the account is a server admin' }),
    expiresAt: Time,
    csrfToken: t.String({
      description: 'Send it in the x-csrf-token header of each change',
      example: 'kZ3vB0Sg8b0vLr0m1T2Zq4m0o9mJv2K8mVtN2b0fXkQ',
    }),
  },
  { description: 'The current session' },
)

export const SESSION_OPERATIONS = {
  begin: operation('createSession', 'anybody', 'Sign in from a browser', {
    answer: SessionModel,
    creates: 'always',
    description: 'Sets the session cookie. Changing the password or disabling the user ends the session.',
  }),
  get: operation('getSession', 'session', 'Show the session', { answer: SessionModel }),
  end: operation('deleteSession', 'session', 'Sign out'),
}

const GivenPassword = t.String({ maxLength: 1024, example: 'correct-horse-battery' })

const KEY = { id: t.String({ description: 'The `kid` in its tokens' }), createdAt: Time }

const SigningKeyModel = t.Object(
  { ...KEY, expiresAt: t.Optional(time('When the key expires, if it was replaced')) },
  { description: 'A key' },
)

const NewKey = t.Object(
  { ...KEY, othersExpireAt: time('When the other keys expire') },
  { description: 'The new signing key' },
)

const members = {
  id: t.String(),
  kind: oneOf(
    ['token', 'refresh'],
    'refresh: a client got it from POST /token for the password; its name is the client id',
  ),
  name: t.String(),
  createdAt: Time,
  expiresAt: t.Optional(Time),
  lastUsedAt: t.Optional(Time),
  scope: t.Optional(t.Array(RuleModel)),
}

const TokenModel = t.Object(members, { description: 'A token' })

const NewToken = t.Object(
  { ...members, secret: t.String({ description: 'Shown only once' }) },
  { description: 'The token' },
)

export const TokenRequest = t.Object({
  name: t.String({ minLength: 1, maxLength: 64, description: 'What it is for', example: 'laptop' }),
  expiresInDays: t.Optional(t.Integer({ minimum: 1, maximum: 3650 })),
  scope: t.Optional(
    t.Array(RuleModel, { maxItems: 100, description: 'Limits the token to some of what the account may do' }),
  ),
})

export const TOKEN_OPERATIONS = {
  list: operation('listTokens', 'self', 'List tokens', {
    errors: ['NOT_FOUND'],
    answer: pageOf(TokenModel, 'Tokens'),
  }),
  add: operation('createToken', 'self', 'Create a token', {
    answer: NewToken,
    creates: 'always',
    location: ({ id }) => `/${id}`,
    errors: ['NOT_FOUND', 'CONFLICT', 'NAME_INVALID'],
  }),
  get: operation('getToken', 'self', 'Show a token', { answer: TokenModel, errors: ['NOT_FOUND'] }),
  remove: operation('deleteToken', 'self', 'Revoke a token', { errors: ['NOT_FOUND'] }),
}

const Act = t.Object({
  at: Time,
  firstAt: t.Optional(Time),
  count: t.Optional(integer({ minimum: 1, description: 'How many times since `firstAt`' })),
  action: t.String({ description: 'Such as `user.create`, `grant.set` or `token.delete`' }),
  target: t.String(),
  details: t.Record(t.String(), t.Union([t.String(), t.Number(), t.Boolean(), t.Array(t.String())])),
  account: t.Optional(t.String()),
  credentialId: t.Optional(t.String({ description: 'The id of the token, if one was used' })),
  address: t.String({ description: 'The IP address of the client', example: '192.0.2.7' }),
  requestId: t.String(),
})

/** The kinds of entries, as the audit service names them. */
export const KIND_OF = {
  change: 'change',
  denied: 'refused',
  'sign-in': 'signed-in',
  'failed-sign-in': 'failed',
} as const

const KINDS = Object.keys(KIND_OF) as [keyof typeof KIND_OF, ...(keyof typeof KIND_OF)[]]

export const AuditQuery = t.Object({
  ...pageParameters,
  kind: t.Optional(oneOf(KINDS, 'Changes, denied requests, sign-ins or failed sign-ins [change]')),
})

export const SessionBeginBody = t.Object({ username: Name, password: GivenPassword })

export const GET_SIGNING_KEY = operation('getSigningKey', 'admin', 'Show a signing key', {
  answer: SigningKeyModel,
  errors: ['NOT_FOUND'],
})

export const ROTATE_SIGNING_KEY = operation(
  'rotateSigningKey',
  'admin',
  'Replace the signing key; the old keys stay valid until the last of their tokens expires',
  { answer: NewKey, creates: 'always', location: ({ id }) => `/${id}` },
)

export const RotateSigningKeyQuery = t.Object({
  revokeOthers: t.Optional(
    t.Boolean({
      description: 'true revokes the other keys immediately, with all tokens that they signed',
    }),
  ),
})

export const LIST_SIGNING_KEYS = operation('listSigningKeys', 'admin', 'List the signing keys', {
  answer: pageOf(SigningKeyModel, 'Keys, oldest first; the last one is in use'),
})

export const LIST_AUDIT_ENTRIES = operation('listAuditEntries', 'admin', 'Read the audit log', {
  description:
    'Denied requests and sign-ins are stored apart from changes, so that they cannot crowd those out. Repeats of an ' +
    'account from one address are one entry an hour, for denied requests one for each of the first 16 targets.',
  answer: pageOf(Act, 'Entries, newest first'),
})

/** The routes below /api/v1, for the page and the commands. */
export type AccountsRoutes = {
  'users/:name': {
    delete: Route<typeof USER_OPERATIONS.remove>
    patch: Route<typeof USER_OPERATIONS.change, { body: typeof UserChange }>
    put: Route<typeof USER_OPERATIONS.add, { body: typeof NewUser }>
    get: Route<typeof USER_OPERATIONS.get>
  }
  'users/:name/unlock': { post: Route<typeof USER_OPERATIONS.unlock> }
  users: { get: Route<typeof USER_OPERATIONS.list, { query: typeof PageQuery }> }
  'robots/:name': {
    delete: Route<typeof ROBOT_OPERATIONS.remove>
    patch: Route<typeof ROBOT_OPERATIONS.change, { body: typeof RobotChangeBody }>
    put: Route<typeof ROBOT_OPERATIONS.add>
    get: Route<typeof ROBOT_OPERATIONS.get>
  }
  robots: { get: Route<typeof ROBOT_OPERATIONS.list, { query: typeof PageQuery }> }
  'groups/:name': {
    delete: Route<typeof GROUP_OPERATIONS.remove>
    patch: Route<typeof GROUP_OPERATIONS.change, { body: typeof GroupChangeBody }>
    put: Route<typeof GROUP_OPERATIONS.add>
    get: Route<typeof GROUP_OPERATIONS.get>
  }
  groups: { get: Route<typeof GROUP_OPERATIONS.list, { query: typeof PageQuery }> }
  caller: { get: Route<typeof GET_CALLER> }
  grants: {
    delete: Route<typeof DELETE_GRANT, { query: typeof DeleteGrantQuery }>
    put: Route<typeof PUT_GRANT, { body: typeof PutGrantBody }>
    get: Route<typeof LIST_GRANTS, { query: typeof ListGrantsQuery }>
  }
  access: { get: Route<typeof EXPLAIN_ACCESS, { query: typeof Question }> }
  session: {
    delete: Route<typeof SESSION_OPERATIONS.end>
    get: Route<typeof SESSION_OPERATIONS.get>
    post: Route<typeof SESSION_OPERATIONS.begin, { body: typeof SessionBeginBody }>
  }
  'signing-keys/:id': { get: Route<typeof GET_SIGNING_KEY> }
  'signing-keys': {
    post: Route<typeof ROTATE_SIGNING_KEY, { query: typeof RotateSigningKeyQuery }>
    get: Route<typeof LIST_SIGNING_KEYS, { query: typeof PageQuery }>
  }
  'accounts/:account/tokens/:id': {
    delete: Route<typeof TOKEN_OPERATIONS.remove>
    get: Route<typeof TOKEN_OPERATIONS.get>
  }
  'accounts/:account/tokens': {
    post: Route<typeof TOKEN_OPERATIONS.add, { body: typeof TokenRequest }>
    get: Route<typeof TOKEN_OPERATIONS.list, { query: typeof PageQuery }>
  }
  audit: { get: Route<typeof LIST_AUDIT_ENTRIES, { query: typeof AuditQuery }> }
}
