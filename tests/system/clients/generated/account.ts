export const account = {
  first_name: "Ada",
  last_name: "Lovelace",
  email: `ada.${process.pid}@example.com`,
  password: "difference-engine-no-2",
  contact: "+442079460958",
  birthday: "1990-12-10",
};

export function check(response: { status: number }, status: number) {
  if (response.status !== status) throw new Error(`${response.status} instead of ${status}`);
}
