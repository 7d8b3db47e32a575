// The exchange with the provisioning service, driven by answers as the service writes them and by worse ones.
import { expect, test } from "bun:test";
import {
  type DpsFailure,
  DpsRegistration,
  type DpsStep,
  dpsUsername,
} from "../../../../../../agents/recv/targets/azure/dps-protocol.ts";

const POLL = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=4.op%2F1";
const ASSIGNING = { operationId: "4.op/1", status: "assigning" };
const ASSIGNED = {
  ...ASSIGNING,
  status: "assigned",
  registrationState: { assignedHub: "contoso.azure-devices.net", deviceId: "plant-7", status: "assigned" },
};

test("dpsUsername() has no question mark", () => {
  expect(dpsUsername("0ne00ABCDEF", "plant-7")).toBe(
    "0ne00ABCDEF/registrations/plant-7/api-version=2019-03-31",
  );
});

test("DpsRegistration registers, polls after the time it is told, and is assigned", () => {
  const registration = new DpsRegistration("plant-7");
  expect(registration.begin()).toEqual({
    step: "send",
    afterSeconds: 0,
    request: {
      topic: "$dps/registrations/PUT/iotdps-register/?$rid=1",
      payload: '{"registrationId":"plant-7"}',
    },
  });
  expect(say(registration, 202, 1, ASSIGNING, "&retry-after=7")).toEqual({
    step: "send",
    afterSeconds: 7,
    request: { topic: POLL, payload: " " },
  });
  expect(say(registration, 202, 2, ASSIGNING)).toMatchObject({ step: "send", afterSeconds: 2 });
  expect(say(registration, 200, 3, ASSIGNED)).toEqual({
    step: "assigned",
    hub: "contoso.azure-devices.net",
    deviceId: "plant-7",
  });
});

test("DpsRegistration takes an assignment as the first answer", () => {
  expect(say(begin(), 200, 1, ASSIGNED)).toMatchObject({ step: "assigned" });
});

test("DpsRegistration asks the same again when the service is busy or broken", () => {
  const registration = begin();
  expect(say(registration, 429, 1, {}, "&retry-after=30")).toMatchObject({
    afterSeconds: 30,
    request: { topic: "$dps/registrations/PUT/iotdps-register/?$rid=2" },
  });
  say(registration, 202, 2, ASSIGNING);
  expect(say(registration, 503, 3, {})).toMatchObject({
    afterSeconds: 2,
    request: { topic: POLL.replace("rid=2", "rid=4") },
  });
});

test("DpsRegistration begins anew without the old operation", () => {
  const registration = begin();
  say(registration, 202, 1, ASSIGNING);
  expect(registration.begin()).toMatchObject({
    request: { topic: "$dps/registrations/PUT/iotdps-register/?$rid=3" },
  });
});

const FAILURES: [status: number, body: unknown, failure: DpsFailure, detail: string][] = [
  [401, { errorCode: 401_002, message: "Unauthorized" }, "unauthorized", "Unauthorized (401002)"],
  [404, { message: "" }, "not-found", "status 404"],
  [400, [], "rejected", "status 400"],
  [200, { status: "disabled" }, "disabled", "the enrolment is disabled"],
  [
    200,
    { status: "failed", registrationState: { errorCode: 400_207, errorMessage: "no hub left" } },
    "assignment-failed",
    "no hub left (400207)",
  ],
  [200, { status: "assigned" }, "bad-answer", "names no hub"],
  [200, { ...ASSIGNED, registrationState: { assignedHub: 1, deviceId: "x" } }, "bad-answer", "names no hub"],
  [202, { status: "assigning" }, "bad-answer", "names no operation"],
  [200, { status: "perhaps" }, "bad-answer", "has no known status"],
];

for (const [status, body, failure, detail] of FAILURES) {
  test(`DpsRegistration fails as ${failure}: ${detail}`, () => {
    expect(say(begin(), status, 1, body)).toEqual({ step: "failed", failure, detail });
  });
}

test("DpsRegistration ignores answers to other questions and other topics", () => {
  for (const topic of [
    "",
    "a/b",
    "$dps/registrations/res/200/?$rid=2",
    "$dps/registrations/res/200/?$rid=01",
    "$dps/registrations/res/200/?",
    "$dps/registrations/res/20/?$rid=1",
    "$dps/registrations/res/200?$rid=1",
    "x$dps/registrations/res/200/?$rid=1",
  ]) {
    expect(begin().answer(topic, encode(ASSIGNED))).toEqual({ step: "ignore" });
  }
});

test("DpsRegistration never throws, whatever the body", () => {
  for (const text of ["", "{", "null", "1", "[]", '"a"', '{"registrationState":[]}', "\u0000", "{}"]) {
    const step = begin().answer("$dps/registrations/res/200/?$rid=1", Buffer.from(text));
    expect(step).toEqual({ step: "failed", failure: "bad-answer", detail: "has no known status" });
  }
  const bytes = Uint8Array.of(0xff, 0xfe, 0x80);
  expect(begin().answer("$dps/registrations/res/202/?$rid=1", bytes)).toMatchObject({ step: "failed" });
});

test("DpsRegistration takes no waiting time that is none, or longer than a day", () => {
  for (const [text, seconds] of [
    ["-1", 2],
    ["1.5", 2],
    ["", 2],
    ["1e9", 2],
    ["99999999999999", 2],
    ["999999", 86_400],
    ["0", 0],
  ] as const) {
    expect(say(begin(), 202, 1, ASSIGNING, `&retry-after=${text}`)).toMatchObject({ afterSeconds: seconds });
  }
});

function begin(): DpsRegistration {
  const registration = new DpsRegistration("plant-7");
  registration.begin();
  return registration;
}

function say(
  registration: DpsRegistration,
  status: number,
  requestId: number,
  body: unknown,
  rest = "",
): DpsStep {
  return registration.answer(`$dps/registrations/res/${status}/?$rid=${requestId}${rest}`, encode(body));
}

function encode(body: unknown): Buffer {
  return Buffer.from(JSON.stringify(body));
}
