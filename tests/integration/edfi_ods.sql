-- The tables of Ed-Fi data standard 5 that the views read, with their own columns and types, and one student's rows.
CREATE SCHEMA edfi;
CREATE TABLE edfi.descriptor (descriptorid serial PRIMARY KEY, namespace varchar(255) NOT NULL, codevalue varchar(50) NOT NULL);
CREATE TABLE edfi.student (studentusi serial PRIMARY KEY, studentuniqueid varchar(32) NOT NULL, firstname varchar(75) NOT NULL,
  middlename varchar(75), lastsurname varchar(75) NOT NULL, generationcodesuffix varchar(10), preferredfirstname varchar(75),
  preferredlastsurname varchar(75), birthdate date NOT NULL, birthsexdescriptorid int, lastmodifieddate timestamp NOT NULL);
CREATE TABLE edfi.studentschoolassociation (entrydate date, schoolid bigint, studentusi int, schoolyear smallint,
  entrygradeleveldescriptorid int NOT NULL, entrytypedescriptorid int, exitwithdrawdate date, exitwithdrawtypedescriptorid int,
  lastmodifieddate timestamp NOT NULL, PRIMARY KEY (entrydate, schoolid, studentusi));
CREATE TABLE edfi.studentschoolattendanceevent (attendanceeventcategorydescriptorid int, eventdate date, schoolid bigint,
  schoolyear smallint, sessionname varchar(60), studentusi int, eventduration decimal(3,2), lastmodifieddate timestamp NOT NULL,
  PRIMARY KEY (attendanceeventcategorydescriptorid, eventdate, schoolid, schoolyear, sessionname, studentusi));
CREATE TABLE edfi.disciplineincident (incidentidentifier varchar(36), schoolid bigint, casenumber varchar(20), incidentdate date
  NOT NULL, reportedtolawenforcement boolean, lastmodifieddate timestamp NOT NULL, PRIMARY KEY (incidentidentifier, schoolid));
CREATE TABLE edfi.studentdisciplineincidentbehaviorassociation (behaviordescriptorid int, incidentidentifier varchar(36),
  schoolid bigint, studentusi int, behaviordetaileddescription varchar(1024), lastmodifieddate timestamp NOT NULL,
  PRIMARY KEY (behaviordescriptorid, incidentidentifier, schoolid, studentusi));
CREATE TABLE edfi.disciplineaction (disciplineactionidentifier varchar(36), disciplinedate date, studentusi int,
  actualdisciplineactionlength decimal(5,2), lastmodifieddate timestamp NOT NULL,
  PRIMARY KEY (disciplineactionidentifier, disciplinedate, studentusi));
CREATE TABLE edfi.disciplineactiondiscipline (disciplineactionidentifier varchar(36), disciplinedate date,
  disciplinedescriptorid int, studentusi int);
CREATE TABLE edfi.disciplineactionstudentdisciplineincidentbehaviorassociation (behaviordescriptorid int,
  disciplineactionidentifier varchar(36), disciplinedate date, incidentidentifier varchar(36), schoolid bigint, studentusi int);
CREATE TABLE edfi.contact (contactusi serial PRIMARY KEY, contactuniqueid varchar(32) NOT NULL, firstname varchar(75) NOT NULL,
  middlename varchar(75), lastsurname varchar(75) NOT NULL, generationcodesuffix varchar(10), sexdescriptorid int,
  lastmodifieddate timestamp NOT NULL);
CREATE TABLE edfi.studentcontactassociation (contactusi int, studentusi int, relationdescriptorid int, legalguardian boolean,
  liveswith boolean, contactrestrictions varchar(250), lastmodifieddate timestamp NOT NULL, PRIMARY KEY (contactusi, studentusi));
INSERT INTO edfi.descriptor (namespace, codevalue) VALUES ('uri://ed-fi.org/SexDescriptor', 'Female'),
  ('uri://ed-fi.org/GradeLevelDescriptor', 'Ninth grade'), ('uri://ed-fi.org/AttendanceEventCategoryDescriptor', 'Unexcused Absence'),
  ('uri://ed-fi.org/BehaviorDescriptor', 'Other'), ('uri://ed-fi.org/DisciplineDescriptor', 'Out of School Suspension'),
  ('uri://ed-fi.org/RelationDescriptor', 'Grandmother');
INSERT INTO edfi.student (studentuniqueid, firstname, lastsurname, birthdate, birthsexdescriptorid, lastmodifieddate)
  VALUES ('0091', 'Ana', 'Ode', '2010-01-02', 1, '2026-03-01'), ('0092', 'Ben', 'Fen', '2011-01-02', NULL, '2026-03-01');
INSERT INTO edfi.studentschoolassociation VALUES ('2025-09-01', 255901001, 1, 2026, 2, NULL, NULL, NULL, '2026-03-01');
INSERT INTO edfi.studentschoolattendanceevent VALUES (3, '2026-01-12', 255901001, 2026, 'Spring', 1, 0.5, '2026-03-01');
INSERT INTO edfi.disciplineincident VALUES ('17', 255901001, 'P-9', '2026-01-13', true, '2026-03-01');
INSERT INTO edfi.studentdisciplineincidentbehaviorassociation VALUES (4, '17', 255901001, 1, NULL, '2026-03-01');
INSERT INTO edfi.disciplineaction VALUES ('A1', '2026-01-14', 1, 2.5, '2026-03-01');
INSERT INTO edfi.disciplineactiondiscipline VALUES ('A1', '2026-01-14', 5, 1);
INSERT INTO edfi.disciplineactionstudentdisciplineincidentbehaviorassociation VALUES (4, 'A1', '2026-01-14', '17', 255901001, 1);
INSERT INTO edfi.contact (contactuniqueid, firstname, lastsurname, sexdescriptorid, lastmodifieddate)
  VALUES ('C7', 'Cleo', 'Ode', 1, '2026-03-01');
INSERT INTO edfi.studentcontactassociation VALUES (1, 1, 6, true, NULL, NULL, '2026-03-01');
